/* grid_world.c - layouts and rules of the room. */
#include "gato/env/grid_world.h"
#include "common/base/die.h"
#include "common/base/rng.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const grid_kind_names[GRID_KINDS] = {"empty", "wall", "key", "ball", "box"};
const char *const grid_color_names[GRID_COLORS] = {"red",    "green",  "blue",
                                                   "purple", "yellow", "grey"};

void grid_step(grid_direction_t direction, int *x, int *y) {
    static const int dx[GRID_DIRECTIONS] = {1, 0, -1, 0}, dy[GRID_DIRECTIONS] = {0, 1, 0, -1};
    *x += dx[direction];
    *y += dy[direction];
}

grid_direction_t grid_turn(grid_direction_t direction, grid_action_t action) {
    if (action == GRID_LEFT) return (direction + GRID_DIRECTIONS - 1) % GRID_DIRECTIONS;
    if (action == GRID_RIGHT) return (direction + 1) % GRID_DIRECTIONS;
    return direction;
}

bool grid_is_object(grid_thing_t thing) {
    return thing.kind == GRID_KEY || thing.kind == GRID_BALL || thing.kind == GRID_BOX;
}

static bool same_thing(grid_thing_t a, grid_thing_t b) {
    return a.kind == b.kind && a.color == b.color;
}

void grid_world_clear(grid_world_t *w) {
    *w = (grid_world_t){.x = 1, .y = 1, .direction = GRID_EAST};
    for (int i = 0; i < GRID_ROOM; i++) {
        grid_thing_t wall = {GRID_WALL, GRID_GREY};
        w->cell[0][i] = w->cell[GRID_ROOM - 1][i] = wall;
        w->cell[i][0] = w->cell[i][GRID_ROOM - 1] = wall;
    }
}

void grid_world_aim(grid_world_t *w, grid_thing_t mission) {
    w->mission = mission;
    for (int y = 0; y < GRID_ROOM; y++)
        for (int x = 0; x < GRID_ROOM; x++) w->wanted[y][x] = same_thing(w->cell[y][x], mission);
}

bool grid_world_reachable(const grid_world_t *w) {
    bool reached[GRID_ROOM][GRID_ROOM] = {{false}};
    int todo[GRID_ROOM * GRID_ROOM][2] = {{w->x, w->y}}, n = 1;
    reached[w->y][w->x] = true;
    while (n) {
        n--;
        int from_x = todo[n][0], from_y = todo[n][1];
        for (int d = 0; d < GRID_DIRECTIONS; d++) {
            int x = from_x, y = from_y;
            grid_step(d, &x, &y);
            if (reached[y][x]) continue;
            reached[y][x] = true;
            if (w->cell[y][x].kind != GRID_EMPTY) continue; /* reached, but no way through */
            todo[n][0] = x;
            todo[n][1] = y;
            n++;
        }
    }
    for (int y = 0; y < GRID_ROOM; y++)
        for (int x = 0; x < GRID_ROOM; x++)
            if (grid_is_object(w->cell[y][x]) && !reached[y][x]) return false;
    return true;
}

/* Random numbers in the order of their use. */
typedef struct {
    rng_t rng;
    uint64_t i;
} draw_t;

static int draw_below(draw_t *d, int n) {
    return (int)rng_below(d->rng, d->i++, (uint32_t)n);
}

/* A free cell, not that of the agent and none of its four neighbors. */
static void draw_cell(draw_t *d, const grid_world_t *w, int *x, int *y) {
    do {
        *x = 1 + draw_below(d, GRID_ROOM - 2);
        *y = 1 + draw_below(d, GRID_ROOM - 2);
    } while (w->cell[*y][*x].kind != GRID_EMPTY || abs(*x - w->x) + abs(*y - w->y) < 2);
}

static void draw_layout(draw_t *d, grid_world_t *w) {
    grid_thing_t object[GRID_OBJECTS];
    grid_world_clear(w);
    w->x = 1 + draw_below(d, GRID_ROOM - 2);
    w->y = 1 + draw_below(d, GRID_ROOM - 2);
    w->direction = draw_below(d, GRID_DIRECTIONS);
    for (int i = 0; i < GRID_OBJECTS; i++) {
        int x, y;
        object[i].color = draw_below(d, GRID_COLORS);
        object[i].kind = GRID_KEY + draw_below(d, GRID_KINDS - GRID_KEY);
        draw_cell(d, w, &x, &y);
        w->cell[y][x] = object[i];
    }
    grid_world_aim(w, object[draw_below(d, GRID_OBJECTS)]);
}

void grid_world_make(grid_world_t *w, uint64_t seed, uint64_t episode) {
    draw_t d = {rng_fold(rng_make(seed, "env.grid"), episode), 0};
    do draw_layout(&d, w);
    while (!grid_world_reachable(w));
}

char *grid_world_mission(const grid_world_t *w, char text[GRID_MISSION]) {
    int n = 0;
    for (int y = 0; y < GRID_ROOM; y++)
        for (int x = 0; x < GRID_ROOM; x++) n += w->wanted[y][x];
    snprintf(text, GRID_MISSION, "go to %s %s %s", n > 1 ? "a" : "the",
             grid_color_names[w->mission.color], grid_kind_names[w->mission.kind]);
    return text;
}

void grid_world_act(grid_world_t *w, grid_action_t action) {
    static const grid_thing_t nothing = {GRID_EMPTY, GRID_RED};
    int x = w->x, y = w->y;
    grid_step(w->direction, &x, &y);
    grid_thing_t *front = &w->cell[y][x];
    switch (action) {
    case GRID_LEFT:
    case GRID_RIGHT:
        w->direction = grid_turn(w->direction, action);
        break;
    case GRID_FORWARD:
        if (front->kind != GRID_EMPTY) break;
        w->x = x;
        w->y = y;
        break;
    case GRID_PICKUP:
        if (!grid_is_object(*front) || w->carried.kind != GRID_EMPTY) break;
        w->carried = *front;
        *front = nothing;
        break;
    case GRID_DROP:
        if (front->kind != GRID_EMPTY || w->carried.kind == GRID_EMPTY) break;
        *front = w->carried;
        w->carried = nothing;
        break;
    case GRID_TOGGLE:
        if (front->kind == GRID_BOX) *front = nothing;
        break;
    case GRID_DONE:
        break;
    default:
        BUG("action %d", (int)action);
    }
}

bool grid_world_solved(const grid_world_t *w) {
    int x = w->x, y = w->y;
    grid_step(w->direction, &x, &y);
    return w->wanted[y][x];
}

double grid_reward(uint32_t steps) {
    return 1 - 0.9 * (steps / (double)GRID_STEPS);
}
