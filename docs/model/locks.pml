/* Locks and meetings of three nodes: l2sync/cluster core.py, claims.py, locks.py, messenger.py, streams.py, membership.py.
 *
 * Every claim overlaps every other. What a node says in its stream to all is a log, and a peer may take the next item
 * of it at any time: that stands for loss, repetition, disorder and delay, after which streams deliver once and in
 * order. An answer to a claim is one step, at any time after the claim was taken: a lost or late one is a later step.
 * Challenge, register and its answer have a place each per pair; with LOSE they get lost until the weather clears,
 * whenever that may be, and are sent again.
 *
 * Budgets bound the run: CLAIMS of each node in CLAIMERS, DROPS (a node misses another's pings, and the other does not
 * notice), APART (two begin in two halves), CRASHES (with a return as a new session). Without LOSE every run ends.
 * FAULT_... plants a fault. TRACE grants as soon as it can, and prints each move and the state when nothing can be granted.
 */
#ifndef CLAIMS
#define CLAIMS 1
#endif
#ifndef DROPS
#define DROPS 0
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#ifndef CLAIMERS
#define CLAIMERS 7        /* bit i: node i claims */
#endif
#ifndef MAY_DROP
#define MAY_DROP(i, j) (i != 2 && j != 2)
#endif
#ifndef MAY_CRASH
#define MAY_CRASH(i) (i == 0)
#endif
#ifndef APART
#define APART 0           /* 1: the first two do not know each other at the start */
#endif
#define N 3
#define LOG 8
#define UNLOCK 99
#define NONE 255
#define at(i, j) ((i) * N + (j))
#define P ((i + 1) % N)
#define Q ((i + 2) % N)

/* a node */
byte state[N];            /* 0 no claim, 1 waiting, 2 holding */
byte made[N];             /* claims made */
byte clock[N];            /* logical time */
byte stamp[N];            /* of the claim */
byte last[N];             /* place after the claim's latest lock message */
byte next[N];             /* place in its stream */
byte log[N * LOG];        /* a lock's stamp (0: it is held), or UNLOCK */
bool down[N], fresh[N];  /* fresh: back after a crash; it says hello, and is challenged rather than challenging */
byte drops = DROPS, crashes = CRASHES;

/* a pair: what i knows or owes of j */
bool online[N * N], stale[N * N], doubt[N * N], waiting[N * N], answered[N * N];
byte taken[N * N];        /* items of j's stream that i has delivered */
byte known[N * N];        /* stamp of j's claim in i's table, or NONE */
byte until[N * N];        /* how far i must hear j before j's answer counts */
byte base[N * N];         /* from where on j is owed i's stream: from the challenge on, if it came before they meet */
/* frames on their way from j to i; 0: none */
byte enrol[N * N], confirm[N * N];
bool challenge[N * N];
bool placed[N * N];       /* i has met this session of j; what it said before that is taken for a recording */

bool lossy = true;        /* with LOSE: frames may get lost */

#ifdef FAULT_NO_ORDER
#define earlier(i, j) (known[at(i,j)] != NONE)
#else
#ifdef FAULT_NO_TIE_BREAK
#define earlier(i, j) (known[at(i,j)] != NONE && (known[at(i,j)] == 0 || known[at(i,j)] < stamp[i]))
#else
#define earlier(i, j) (known[at(i,j)] != NONE && (known[at(i,j)] == 0 || known[at(i,j)] < stamp[i] || \
    (known[at(i,j)] == stamp[i] && j < i)))
#endif
#endif
#define heard(i, j) (!waiting[at(i,j)] || !online[at(i,j)] || (answered[at(i,j)] && taken[at(i,j)] >= until[at(i,j)]))
#ifdef FAULT_ONE_ACK_SHORT
#define all_heard(i, p, q) (heard(i, p) || heard(i, q))
#else
#define all_heard(i, p, q) (heard(i, p) && heard(i, q))
#endif
#ifdef FAULT_NO_DOUBT
#define sees(i, j) (online[at(i,j)] && !stale[at(i,j)])
#else
#define sees(i, j) (online[at(i,j)] && !stale[at(i,j)] && !doubt[at(i,j)])
#endif
#define wants(i) (((CLAIMERS >> i) & 1) * CLAIMS)
#define visible(i, j) (sees(i, j) && sees(j, i))

#define answers_end(i, j) waiting[at(i,j)] = false; answered[at(i,j)] = false; until[at(i,j)] = 0
inline say(i, what) { log[i * LOG + next[i]] = what; next[i]++; assert(next[i] < LOG) }

/* tell the claim (again) to everybody, with everybody's answer due afresh */
inline tell(i) {
    if
    :: state[i] == 1 ->
        say(i, stamp[i]); last[i] = next[i];
        waiting[at(i,P)] = online[at(i,P)]; answered[at(i,P)] = false; until[at(i,P)] = 0;
        waiting[at(i,Q)] = online[at(i,Q)]; answered[at(i,Q)] = false; until[at(i,Q)] = 0
#ifdef FAULT_HELD_IS_NOT_SAID
    :: state[i] == 2 -> say(i, stamp[i])
#else
    :: state[i] == 2 -> say(i, 0)
#endif
    :: else
    fi
}

inline meet(i, j, from) {
    if :: !placed[at(i,j)] -> placed[at(i,j)] = true; challenge[at(i,j)] = false :: else fi;
    online[at(i,j)] = true; stale[at(i,j)] = false; taken[at(i,j)] = from;
    if :: !doubt[at(i,j)] -> base[at(i,j)] = next[i] :: else fi;
    tell(i)
}

inline part(i, j) {
    online[at(i,j)] = false; stale[at(i,j)] = false;
#ifndef FAULT_GONE_HOLDS
    known[at(i,j)] = NONE;
#endif
    base[at(i,j)] = next[i];
    answers_end(i, j)
}

inline claim(i) {
    made[i]++; clock[i]++; stamp[i] = clock[i]; state[i] = 1; printf("MOVE claim %d\n", i); tell(i)
}

inline grant(i) {
    printf("MOVE grant %d\n", i);
    assert(!(visible(i, P) && state[P] == 2)); assert(!(visible(i, Q) && state[Q] == 2));
    state[i] = 2; answers_end(i, P); answers_end(i, Q)
}

inline release(i) {
    printf("MOVE release %d\n", i);
    state[i] = 0; stamp[i] = 0; last[i] = 0;
#ifndef FAULT_UNLOCK_NOT_TOLD
    say(i, UNLOCK)
#endif
}

/* i takes the next item of j's stream */
inline take(i, j) {
    byte item = log[j * LOG + taken[at(i,j)]];
    taken[at(i,j)]++; printf("MOVE take %d %d\n", i, j);
    if
    :: item == UNLOCK -> known[at(i,j)] = NONE
    :: else ->
        if :: known[at(i,j)] > item -> known[at(i,j)] = item :: else fi;
        if :: clock[i] < item -> clock[i] = item :: else fi;
        clock[i]++
    fi;
    item = 0
}

/* i answers j's claim, and j takes the answer with i's place in its stream */
inline answer(i, j) {
    printf("MOVE answer %d %d\n", i, j);
    answered[at(j,i)] = true;
#ifdef FAULT_STREAM_NOT_AWAITED
    until[at(j,i)] = 0
#else
    until[at(j,i)] = next[i]
#endif
}
#define unanswered(i, j) (state[j] == 1 && waiting[at(j,i)] && !answered[at(j,i)] && !doubt[at(j,i)])
#ifdef FAULT_EARLY_ANSWER
#define has_answer(i, j) (unanswered(i, j))
#else
#define has_answer(i, j) (unanswered(i, j) && taken[at(i,j)] >= last[j])
#endif

/* i has not heard j for three pings: no frame that j sent before lives that long */
inline drop(i, j) {
    printf("MOVE drop %d %d\n", i, j);
    part(i, j); challenge[at(i,j)] = false; enrol[at(i,j)] = 0;
    confirm[at(i,j)] = 0; doubt[at(i,j)] = false
}

/* i takes j's register: both are to meet (again) */
inline take_register(i, j) {
    printf("MOVE registered %d %d\n", i, j);
    if :: stale[at(i,j)] -> part(i, j) :: else fi;
    if :: !online[at(i,j)] -> meet(i, j, enrol[at(i,j)] - 1) :: else fi;
    enrol[at(i,j)] = 0; confirm[at(j,i)] = base[at(i,j)] + 1
}

/* i takes j's answer to its register */
inline take_confirm(i, j) {
    printf("MOVE confirmed %d %d\n", i, j);
#ifndef FAULT_CONFIRM_IGNORED
    if
    :: !online[at(i,j)] -> meet(i, j, confirm[at(i,j)] - 1)
    :: online[at(i,j)] && confirm[at(i,j)] - 1 > taken[at(i,j)] -> part(i, j); meet(i, j, confirm[at(i,j)] - 1)
#ifdef FAULT_NOT_TOLD_AGAIN
    :: else
#else
    :: else -> if :: doubt[at(i,j)] -> tell(i) :: else fi
#endif
    fi;
    doubt[at(i,j)] = false;
#endif
    confirm[at(i,j)] = 0
}

inline forget(i, j) {
    part(i, j); placed[at(i,j)] = false; placed[at(j,i)] = false;
    doubt[at(i,j)] = false; taken[at(i,j)] = 0; base[at(i,j)] = 0; enrol[at(i,j)] = 0;
    confirm[at(i,j)] = 0; challenge[at(i,j)] = false;
    enrol[at(j,i)] = 0; confirm[at(j,i)] = 0; challenge[at(j,i)] = false;
    doubt[at(j,i)] = false;
    stale[at(j,i)] = online[at(j,i)]
}

inline crash(i) {
    printf("MOVE crash %d\n", i);
    crashes--; down[i] = true; state[i] = 0; stamp[i] = 0; last[i] = 0; clock[i] = 0; next[i] = 0;
    forget(i, P); forget(i, Q)
}

#define can_grant(i, p, q) (state[i] == 1 && all_heard(i, p, q) && !earlier(i, p) && !earlier(i, q))
#ifdef TRACE
#define calm (!can_grant(0, 1, 2) && !can_grant(1, 2, 0) && !can_grant(2, 0, 1))
inline print_pair(i, j) {
    printf("PAIR %d %d %d %d %d %d %d\n", i, j,
        online[at(i,j)] && !stale[at(i,j)], taken[at(i,j)], known[at(i,j)], waiting[at(i,j)], doubt[at(i,j)])
}
#define shown if :: calm -> print_state() :: else fi
inline print_state() {
    printf("NODES %d %d %d %d %d %d %d %d %d %d %d %d\n", state[0], state[1], state[2], clock[0], clock[1], clock[2],
        stamp[0], stamp[1], stamp[2], next[0], next[1], next[2]);
    print_pair(0, 1); print_pair(0, 2); print_pair(1, 0); print_pair(1, 2); print_pair(2, 0); print_pair(2, 1)
}
#else
#define calm true
#define shown skip
#endif

#define lost(i, j) (!online[at(i,j)] || stale[at(i,j)])

/* all that i does with or about j */
proctype Pair(byte i; byte j) {
end:
    do
    :: atomic { calm && sees(i, j) && taken[at(i,j)] < next[j] && !down[j] -> take(i, j); shown }
    :: atomic { calm && sees(i, j) && !down[j] && has_answer(i, j) -> answer(i, j); shown }
    :: atomic { calm && drops && MAY_DROP(i, j) && online[at(i,j)] && !stale[at(i,j)] && !down[i] && !down[j] ->
        drops--; drop(i, j); shown }
    :: atomic { calm && stale[at(i,j)] && !down[i] -> drop(i, j); shown }
    :: atomic { calm && lost(i, j) && !fresh[i] && !down[i] && !down[j] && !challenge[at(j,i)] && !doubt[at(j,i)] ->
        challenge[at(j,i)] = true; printf("MOVE challenge %d %d\n", i, j); shown }
    :: atomic { calm && challenge[at(i,j)] ->
        challenge[at(i,j)] = false; printf("MOVE challenged %d %d\n", i, j);
        if :: lost(i, j) && !doubt[at(i,j)] -> base[at(i,j)] = next[i] :: else fi; doubt[at(i,j)] = true; shown }
    :: atomic { calm && doubt[at(i,j)] && !down[j] && !enrol[at(j,i)] && !confirm[at(i,j)] ->
        enrol[at(j,i)] = next[i] + 1; printf("MOVE register %d %d\n", i, j); shown }
    :: atomic { calm && enrol[at(i,j)] -> take_register(i, j); shown }
    :: atomic { calm && confirm[at(i,j)] -> take_confirm(i, j); shown }
#ifdef LOSE
    :: atomic { calm && lossy && challenge[at(i,j)] ->
        challenge[at(i,j)] = false; printf("MOVE lose challenge %d %d\n", i, j); shown }
    :: atomic { calm && lossy && enrol[at(i,j)] ->
        enrol[at(i,j)] = 0; printf("MOVE lose register %d %d\n", i, j); shown }
    :: atomic { calm && lossy && confirm[at(i,j)] ->
        confirm[at(i,j)] = 0; printf("MOVE lose confirm %d %d\n", i, j); shown }
#endif
    od
}

proctype Node(byte i) {
end:
    do
    :: atomic { calm && !down[i] && state[i] == 0 && made[i] < wants(i) -> claim(i); shown }
    :: atomic { !down[i] && can_grant(i, P, Q) -> grant(i); shown }
    :: atomic { calm && state[i] == 2 -> release(i); shown }
    :: atomic { calm && crashes && MAY_CRASH(i) && !down[i] -> crash(i); shown }
    :: atomic { calm && down[i] -> down[i] = false; fresh[i] = true; made[i] = 0; printf("MOVE return %d\n", i); shown }
    od
}

#define all_well(i, j) (visible(i, j) && known[at(i,j)] == NONE && taken[at(i,j)] == next[j])

#ifdef LOSE
active proctype Weather() { lossy = false }
#endif

/* nothing can happen any more: every claim had its turn, all see all, all streams are level */
active proctype Settled() {
    timeout ->
    assert(state[0] == 0 && state[1] == 0 && state[2] == 0);
    assert(made[0] == wants(0) && made[1] == wants(1) && made[2] == wants(2));
    assert(all_well(0, 1) && all_well(0, 2) && all_well(1, 0) && all_well(1, 2) && all_well(2, 0) && all_well(2, 1))
}

init {
    atomic {
        byte a, b;
        for (a : 0 .. N - 1) {
            for (b : 0 .. N - 1) {
                known[at(a,b)] = NONE; online[at(a,b)] = (a != b) && !(APART && a != 2 && b != 2);
                placed[at(a,b)] = online[at(a,b)]
            }
        }
        a = 0; b = 0;
        run Node(0); run Node(1); run Node(2);
        run Pair(0, 1); run Pair(0, 2); run Pair(1, 0); run Pair(1, 2); run Pair(2, 0); run Pair(2, 1)
    }
}

ltl granted0 { [] (state[0] == 1 -> <> (state[0] != 1)) }
ltl granted1 { [] (state[1] == 1 -> <> (state[1] != 1)) }
ltl granted2 { [] (state[2] == 1 -> <> (state[2] != 1)) }
