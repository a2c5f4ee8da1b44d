/* grid_plan.c - shortest plans through the room, by breadth-first search over what the agent can be
 * in: cell, direction, hands.
 *
 * First it looks for a walk. There is none when the agent has put a thing down in its own way. Then
 * it looks for a plan that clears cells as well. The map of such a search stays as it is:
 * entering a cell with a box costs one action more (toggle), entering one with a key or a ball
 * costs one more (pickup) and fills the hands. Full hands are emptied into a cell that is free
 * on the map, or into the one that the agent came from; there is no way forward then. So every
 * executed action leaves a shorter plan, and the planner, asked again in every state, does not
 * run in circles. Full hands always have a free cell beside the agent: that from which the thing
 * was taken, or one that it walked through since.
 */
#include "common/base/die.h"
#include "gato/env/grid_world.h"
#include <string.h>

/* Hands are empty; or full, with the direction of the last step (or STANDING: no step yet); or just
 * emptied in one of four directions, since when the agent has not left its cell. */
enum {
    EMPTY,
    FULL,
    STANDING = FULL + GRID_DIRECTIONS,
    EMPTIED,
    HANDS = EMPTIED + GRID_DIRECTIONS,
    FAR = 1 << 20
};

typedef struct {
    int x, y, direction, hands;
} place_t;

typedef struct {
    const grid_world_t *world;
    bool clearing; /* may the plan clear cells? */
    int cost[GRID_ROOM][GRID_ROOM][GRID_DIRECTIONS][HANDS];
    grid_action_t first[GRID_ROOM][GRID_ROOM][GRID_DIRECTIONS][HANDS];
} search_t;

static bool is_full(place_t p) {
    return p.hands >= FULL && p.hands <= STANDING;
}

static int *cost_of(search_t *s, place_t p) {
    return &s->cost[p.y][p.x][p.direction][p.hands];
}

/* There is a way from `from` to `to` by `action` first and `extra` actions more. */
static void reach(search_t *s, place_t from, place_t to, grid_action_t action, int extra) {
    int cost = *cost_of(s, from) + 1 + extra;
    if (cost >= *cost_of(s, to)) return;
    *cost_of(s, to) = cost;
    s->first[to.y][to.x][to.direction][to.hands] =
        *cost_of(s, from) ? s->first[from.y][from.x][from.direction][from.hands] : action;
}

static void reach_forward(search_t *s, place_t p) {
    place_t to = p;
    grid_step(p.direction, &to.x, &to.y);
    to.hands = is_full(p) ? FULL + p.direction : EMPTY;
    grid_thing_t front = s->world->cell[to.y][to.x];
    if (front.kind == GRID_EMPTY) {
        if (p.hands != EMPTIED + p.direction) reach(s, p, to, GRID_FORWARD, 0);
    } else if (s->clearing && front.kind == GRID_BOX) {
        reach(s, p, to, GRID_TOGGLE, 1);
    } else if (s->clearing && grid_is_object(front) && !is_full(p)) {
        to.hands = FULL + p.direction;
        reach(s, p, to, GRID_PICKUP, 1);
    }
}

static void reach_neighbors(search_t *s, place_t p) {
    for (grid_action_t turn = GRID_LEFT; turn <= GRID_RIGHT; turn++) {
        place_t to = p;
        to.direction = (int)grid_turn(p.direction, turn);
        reach(s, p, to, turn, 0);
    }
    reach_forward(s, p);
    if (!s->clearing || !is_full(p)) return;
    place_t front = p, to = p;
    grid_step(p.direction, &front.x, &front.y);
    to.hands = EMPTIED + p.direction;
    bool back = p.hands != STANDING && (p.hands - FULL + 2) % GRID_DIRECTIONS == p.direction;
    if (back || s->world->cell[front.y][front.x].kind == GRID_EMPTY) reach(s, p, to, GRID_DROP, 0);
}

static bool faces_wanted(const grid_world_t *w, place_t p) {
    grid_step(p.direction, &p.x, &p.y);
    return w->wanted[p.y][p.x];
}

/* The states of one cost after those of the cost before it; the room is small. False: no plan. */
static bool search(search_t *s, place_t start, grid_action_t *action) {
    for (int *c = &s->cost[0][0][0][0], *end = c + sizeof s->cost / sizeof *c; c < end; c++)
        *c = FAR;
    *cost_of(s, start) = 0;
    int last = 0; /* cost of the most distant states so far */
    for (int cost = 0; cost <= last; cost++)
        for (int i = 0; i < GRID_ROOM * GRID_ROOM * GRID_DIRECTIONS * HANDS; i++) {
            place_t p = {.hands = i % HANDS,
                         .direction = i / HANDS % GRID_DIRECTIONS,
                         .x = i / (HANDS * GRID_DIRECTIONS) % GRID_ROOM,
                         .y = i / (HANDS * GRID_DIRECTIONS * GRID_ROOM)};
            if (*cost_of(s, p) != cost) continue;
            if (faces_wanted(s->world, p)) {
                *action = cost ? s->first[p.y][p.x][p.direction][p.hands] : GRID_DONE;
                return true;
            }
            reach_neighbors(s, p);
            last = cost + 2; /* a step costs two actions at most */
        }
    return false;
}

grid_action_t grid_plan(const grid_world_t *w) {
    search_t s = {.world = w};
    place_t start = {w->x, w->y, (int)w->direction, EMPTY}; /* a walk does not need hands */
    grid_action_t action = GRID_DONE;
    if (search(&s, start, &action)) return action;
    s.clearing = true;
    start.hands = w->carried.kind == GRID_EMPTY ? EMPTY : STANDING;
    if (!search(&s, start, &action)) BUG("no plan from cell (%d, %d)", w->x, w->y);
    return action;
}
