/* Ids of three nodes that join at once: l2sync/cluster/membership.py.
 *
 * What a node says of itself (welcome, register, ping) is said again and again: hearing is one step, whenever it succeeds, and
 * a lost frame is a later step. A refusal (rej) has a place per pair and with LOSE gets lost until the weather clears.
 * CRASHES: the first crashes and returns. AGEING: so many times a node counts as settled though not all have heard it.
 * FAULT_... plants a fault. README.md says more.
 */
#ifndef CRASHES
#define CRASHES 0
#endif
#ifndef AGEING
#define AGEING 1
#endif
#define N 3
#define MOST 8
#define at(i, j) ((i) * N + (j))
#define P ((i + 1) % N)
#define Q ((i + 2) % N)

byte id[N];               /* 0: none yet */
byte offered[N];          /* the id from before a crash */
byte taken[N];            /* bits: ids that were refused */
byte known[N * N];        /* the id of j that i goes by, or 0 */
bool old[N];              /* keeps its id against a newcomer; younger ones compare sessions */
byte rej[N * N];          /* the id that is refused, on its way from j to i, or 0 */
byte crashes = CRASHES, ageing = AGEING;
bool lossy = true;

#define free_for(i, n) (!((taken[i] >> n) & 1) && known[at(i,P)] != n && known[at(i,Q)] != n)
#define distinct (id[0] != id[1] && id[0] != id[2] && id[1] != id[2])
#define chosen (id[0] && id[1] && id[2])
#define heard_by_all(i, p, q) (known[at(p,i)] == id[i] && known[at(q,i)] == id[i])
#define all_heard(i) heard_by_all(i, P, Q)
#ifdef FAULT_BOTH_KEEP
#define keeps(i, j) true
#else
#define keeps(i, j) (old[i] || i < j)
#endif

inline choose(i) {
    n = 1;
    do
    :: n < MOST && !free_for(i, n) -> n++
    :: else -> break
    od;
    if :: offered[i] && free_for(i, offered[i]) -> n = offered[i] :: else fi;
    assert(n < MOST);
    id[i] = n; n = 0
}

inline yield(i) {
    taken[i] = taken[i] | (1 << id[i]); old[i] = false; offered[i] = 0;
#ifdef FAULT_SAME_AGAIN
    taken[i] = 0;
#endif
    choose(i)
}

inline refuse(i, j) {
#ifndef FAULT_NO_REFUSAL
    rej[at(j,i)] = id[j]
#else
    skip
#endif
}

/* i hears which id j has; m is the third */
inline hear(i, j, m) {
    if
    :: id[i] == id[j] ->
        if :: keeps(i, j) -> refuse(i, j) :: else -> known[at(i,j)] = id[j]; yield(i) fi
    :: id[i] != id[j] && known[at(i,m)] == id[j] -> known[at(i,m)] = 0; known[at(i,j)] = id[j]
    :: else -> known[at(i,j)] = id[j]
    fi
}

#define news(i, j) (id[j] && (known[at(i,j)] != id[j] || id[i] == id[j]) && !rej[at(j,i)])

proctype Node(byte i) {
    byte n;
end:
    do
    :: atomic { !id[i] -> choose(i) }
    :: atomic { news(i, P) -> hear(i, P, Q) }
    :: atomic { news(i, Q) -> hear(i, Q, P) }
    :: atomic { rej[at(i,P)] -> if :: id[i] == rej[at(i,P)] -> yield(i) :: else fi; rej[at(i,P)] = 0 }
    :: atomic { rej[at(i,Q)] -> if :: id[i] == rej[at(i,Q)] -> yield(i) :: else fi; rej[at(i,Q)] = 0 }
    :: atomic { id[i] && !old[i] && (all_heard(i) || ageing) ->
        if :: all_heard(i) :: else -> ageing-- fi; old[i] = true }
    :: atomic { crashes && i == 0 && id[i] ->
        crashes--; offered[i] = id[i]; id[i] = 0; old[i] = false; taken[i] = 0;
        known[at(i,P)] = 0; known[at(i,Q)] = 0; rej[at(i,P)] = 0; rej[at(i,Q)] = 0 }
#ifdef LOSE
    :: atomic { lossy && rej[at(i,P)] -> rej[at(i,P)] = 0 }
    :: atomic { lossy && rej[at(i,Q)] -> rej[at(i,Q)] = 0 }
#endif
    od
}

#ifdef LOSE
active proctype Weather() { lossy = false }
#endif

/* nothing can happen any more: no two have one id, and everybody knows everybody by the right one */
active proctype Settled() {
    timeout -> assert(chosen && distinct); assert(heard_by_all(0, 1, 2) && heard_by_all(1, 2, 0) && heard_by_all(2, 0, 1))
}

init { atomic { run Node(0); run Node(1); run Node(2) } }

ltl settles { <> [] (chosen && distinct) }
