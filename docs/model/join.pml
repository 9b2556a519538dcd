/* Ids of three nodes that join at once: l2sync/cluster/membership.py.
 *
 * Hello with its welcome, a challenge, and a register with or without its answer are one step each, at any time: what is
 * said again and again in time, and lost until then. A refusal (rej) has a place per pair and with LOSE gets lost until
 * the weather clears. Of two young nodes the lower session keeps an id; sessions are in the order of numbers.
 * CRASHES: the first crashes and returns. JOINED: all know each other before. DEAF: no hello is heard. AGEING: so many
 * times the clock of AGER goes on although not all have heard it.
 * FAULT_... plants a fault. TRACE prints each move and the state after it. README.md says more.
 */
#ifndef CRASHES
#define CRASHES 0
#endif
#ifndef AGEING
#define AGEING 1
#endif
#ifndef AGER
#define AGER 2
#endif
#define N 3
#define MOST 12
#define at(i, j) ((i) * N + (j))
#define P ((i + 1) % N)
#define Q ((i + 2) % N)
#define bit(n) (1 << (n))
#define PLACED 1          /* known by a welcome; it has yet to answer our register */
#define ONLINE 2
#define OFFLINE 3         /* lost its id, or has told another */

byte id[N];               /* 0: none yet */
byte offered[N];          /* the id from before a crash, as kept or as told by a welcome */
short taken[N];           /* bits: ids that were refused, or that a welcome told of */
bool old[N];              /* keeps its id against a newcomer; younger ones compare sessions */
/* what i knows of j */
byte known[N * N];        /* its id, or 0 */
byte state[N * N];
bool ghost[N * N];        /* id and state are those of the session before the crash */
bool aged[N * N];         /* j has had this id for i for long */
bool awaits[N * N];       /* i knows j's nonce, and has yet to hear the answer to its register */
bool echoes[N * N];       /* i knows j's nonce */
bool candidate[N * N];    /* i has heard j's hello, and has not placed it */
byte dead[N * N];         /* sessions of j that ended as candidates */
byte rej[N * N];          /* the id that is refused, on its way from j to i, or 0 */
byte crashes = CRASHES, ageing = AGEING;
bool lossy = true;

#define distinct (id[0] != id[1] && id[0] != id[2] && id[1] != id[2])
#define chosen (id[0] && id[1] && id[2])
#define knows(i, j) (known[at(i,j)] == id[j] && state[at(i,j)] == ONLINE && !ghost[at(i,j)])
#define heard_by(i, p, q) (knows(p, i) && knows(q, i))
#define all_heard(i) heard_by(i, P, Q)
#define others_have(i, n) (known[at(i,P)] == n || known[at(i,Q)] == n)
#define ahead(i, j) (j < i && !known[at(i,j)] -> candidate[at(i,j)] + dead[at(i,j)] : 0)
#ifdef FAULT_BOTH_KEEP
#define keeps(old, i, j) true
#else
#define keeps(old, i, j) (old || i < j)
#endif
#ifdef FAULT_NO_REFUSAL
#define refuse(i, j, n) skip
#else
#define refuse(i, j, n) rej[at(j,i)] = n
#endif

#ifdef TRACE
inline print_pair(i, j) {
    printf("PAIR %d %d %d %d %d %d\n", i, j, known[at(i,j)], state[at(i,j)], ghost[at(i,j)], awaits[at(i,j)])
}
inline shown() {
    printf("IDS %d %d %d\n", id[0], id[1], id[2]);
    print_pair(0, 1); print_pair(0, 2); print_pair(1, 0); print_pair(1, 2); print_pair(2, 0); print_pair(2, 1)
}
#else
#define shown() skip
#endif

/* the offered id, else the free one of the rank among newcomers that were heard */
inline choose(i) {
    skip_free = ahead(i, P) + ahead(i, Q);
    n = 1;
    do
    :: ((taken[i] >> n) & 1) || others_have(i, n) -> n++
    :: else -> if :: skip_free -> skip_free--; n++ :: else -> break fi
    od;
    if :: offered[i] && !others_have(i, offered[i]) -> n = offered[i] :: else fi;
    assert(n < MOST);
    id[i] = n; n = 0; skip_free = 0; old[i] = false;
    awaits[at(i,P)] = echoes[at(i,P)]; awaits[at(i,Q)] = echoes[at(i,Q)]
}

/* whom it has placed it tells as well: it has their nonces */
inline yield(i) {
    taken[i] = taken[i] | bit(id[i]); offered[i] = 0;
#ifdef FAULT_SAME_AGAIN
    taken[i] = 0;
#endif
    if :: state[at(i,P)] && !ghost[at(i,P)] -> echoes[at(i,P)] = true :: else fi;
    if :: state[at(i,Q)] && !ghost[at(i,Q)] -> echoes[at(i,Q)] = true :: else fi;
    choose(i)
}

inline lose(a, b) { known[at(a,b)] = 0; state[at(a,b)] = OFFLINE; aged[at(a,b)] = false }

/* i learns the session of j with its id: whoever had that id, and is not online, has lost it; m is the third */
inline place(c, d, e) {
    if :: known[at(c,e)] == id[d] -> lose(c, e) :: else fi;
    known[at(c,d)] = id[d]; state[at(c,d)] = PLACED; ghost[at(c,d)] = false; aged[at(c,d)] = false;
    candidate[at(c,d)] = false; rej[at(c,d)] = 0
}

inline rename(c, d, e) {
    if :: known[at(c,e)] == id[d] -> lose(c, e) :: else fi;
    known[at(c,d)] = id[d]; state[at(c,d)] = OFFLINE; aged[at(c,d)] = false
}
#define unplaced(i, j) (!state[at(i,j)] || ghost[at(i,j)])
#define lives(i, m, n) (known[at(i,m)] == n && state[at(i,m)] == ONLINE)
/* an answer does nothing where another lives under its id */
#define heeds(i, j, m) (!(unplaced(i, j) || known[at(i,j)] != id[j]) || !lives(i, m, id[j]))

/* i says hello, and j welcomes it */
inline hail(i, j, m) {
    printf("MOVE hail %d %d\n", i, j); candidate[at(j,i)] = true;
    if :: known[at(j,i)] -> offered[i] = known[at(j,i)] :: else fi;
    taken[i] = taken[i] | bit(id[j]) | bit(known[at(j,i)]) | bit(known[at(j,m)]);
    if :: unplaced(i, j) -> place(i, j, m) :: else fi;
    echoes[at(i,j)] = true
}

/* i cannot place j, and asks it to register; the echo of a nonce that i knows from j's hello places i in turn */
inline challenge(i, j, m) {
    printf("MOVE challenge %d %d\n", i, j);
    if
    :: candidate[at(i,j)] && unplaced(j, i) && lives(j, m, id[i]) -> skip
    :: else ->
        if :: candidate[at(i,j)] && unplaced(j, i) -> place(j, i, m) :: else fi;
        echoes[at(j,i)] = true; awaits[at(j,i)] = true; old[j] = false
    fi
}

/* i takes the answer of j to its register */
inline confirm(x, y, z) {
    if
    :: !heeds(x, y, z) -> skip
    :: else ->
        if
        :: unplaced(x, y) -> place(x, y, z)
        :: !unplaced(x, y) && known[at(x,y)] != id[y] -> rename(x, y, z)
        :: else
        fi;
        awaits[at(x,y)] = false; state[at(x,y)] = ONLINE
    fi
}

inline answer(i, j, m) { printf("MOVE answered %d %d\n", j, i); confirm(j, i, m) }

/* i takes j's register; with its answer or without it */
inline register(i, j, m) {
    printf("MOVE register %d %d\n", i, j);
    if
    :: id[i] == id[j] -> if :: keeps(old[i], i, j) -> refuse(i, j, id[j]) :: else -> yield(i) fi
    :: id[i] != id[j] && lives(i, m, id[j]) && keeps(aged[at(i,m)], m, j) -> refuse(i, j, id[j])
    :: else ->
        if :: lives(i, m, id[j]) -> refuse(i, m, known[at(i,m)]) :: else fi;
        if
        :: knows(i, j) -> answer(i, j, m)
        :: else ->
            if :: unplaced(i, j) -> place(i, j, m) :: else if :: known[at(i,j)] != id[j] -> rename(i, j, m) :: else fi fi;
            state[at(i,j)] = ONLINE;
            if :: answer(i, j, m) :: skip fi
        fi
    fi
}

inline refused(i, j) {
    printf("MOVE refused %d %d\n", i, j); n = rej[at(i,j)]; rej[at(i,j)] = 0;
    if :: id[i] == n -> n = 0; yield(i) :: else -> n = 0 fi
}

inline age(i) {
    printf("MOVE age %d\n", i);
    if :: all_heard(i) :: else -> ageing-- fi;
    old[i] = true; aged[at(i,P)] = known[at(i,P)] != 0; aged[at(i,Q)] = known[at(i,Q)] != 0
}

inline forget(x, y) {
    known[at(x,y)] = 0; state[at(x,y)] = 0; aged[at(x,y)] = false; awaits[at(x,y)] = false; echoes[at(x,y)] = false;
    candidate[at(x,y)] = false; rej[at(x,y)] = 0; ghost[at(x,y)] = false;
    ghost[at(y,x)] = (state[at(y,x)] != 0); awaits[at(y,x)] = false; echoes[at(y,x)] = false;
    dead[at(y,x)] = dead[at(y,x)] + candidate[at(y,x)]; candidate[at(y,x)] = false
}

inline crash(i) {
    printf("MOVE crash %d\n", i);
    crashes--; offered[i] = id[i]; id[i] = 0; old[i] = false; taken[i] = 0; forget(i, P); forget(i, Q)
}

#define may_challenge(i, j) (id[i] && id[j] && !awaits[at(j,i)] && (unplaced(i, j) || state[at(i,j)] == OFFLINE))
#define may_register(i, j, m) (id[i] && id[j] && awaits[at(j,i)] && !rej[at(j,i)] && (!knows(i, j) || heeds(j, i, m)))

proctype Node(byte i) {
    byte n, skip_free;
end:
    do
    :: atomic { !id[i] -> printf("MOVE choose %d\n", i); choose(i); shown() }
#ifndef DEAF
    :: atomic { !id[i] && id[P] && !echoes[at(i,P)] -> hail(i, P, Q); shown() }
    :: atomic { !id[i] && id[Q] && !echoes[at(i,Q)] -> hail(i, Q, P); shown() }
#endif
    :: atomic { may_challenge(i, P) -> challenge(i, P, Q); shown() }
    :: atomic { may_challenge(i, Q) -> challenge(i, Q, P); shown() }
    :: atomic { may_register(i, P, Q) -> register(i, P, Q); shown() }
    :: atomic { may_register(i, Q, P) -> register(i, Q, P); shown() }
    :: atomic { id[i] && rej[at(i,P)] -> refused(i, P); shown() }
    :: atomic { id[i] && rej[at(i,Q)] -> refused(i, Q); shown() }
    :: atomic { id[i] && !old[i] && (all_heard(i) || ageing && i == AGER) -> age(i); shown() }
    :: atomic { crashes && i == 0 && id[i] -> crash(i); shown() }
#ifdef LOSE
    :: atomic { lossy && rej[at(i,P)] -> printf("MOVE lose %d %d\n", i, P); rej[at(i,P)] = 0; shown() }
    :: atomic { lossy && rej[at(i,Q)] -> printf("MOVE lose %d %d\n", i, Q); rej[at(i,Q)] = 0; shown() }
#endif
    od
}

#ifdef LOSE
active proctype Weather() { lossy = false }
#endif

/* nothing can happen any more: no two have one id, and everybody is online for everybody by the right one */
active proctype Settled() {
    timeout -> assert(chosen && distinct); assert(heard_by(0, 1, 2) && heard_by(1, 2, 0) && heard_by(2, 0, 1))
}

inline meet(x, y) { known[at(x,y)] = y + 1; state[at(x,y)] = ONLINE; aged[at(x,y)] = true; echoes[at(x,y)] = true }
init {
    atomic {
#ifdef JOINED
        id[0] = 1; id[1] = 2; id[2] = 3; old[0] = true; old[1] = true; old[2] = true;
        meet(0, 1); meet(0, 2); meet(1, 0); meet(1, 2); meet(2, 0); meet(2, 1);
#endif
        run Node(0); run Node(1); run Node(2)
    }
}

ltl settles { <> [] (chosen && distinct) }
