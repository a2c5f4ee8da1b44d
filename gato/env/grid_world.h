/* grid_world.h - a room of MiniGrid with missions of BabyAI: its layouts, its rules, its look, and
 * a planner that solves it. No randomness but in grid_world_make, no memory of its own.
 *
 * The room is 8 x 8 cells with walls around. Rules, colors and drawing are those of the Python
 * package minigrid 3.2 (Chevalier-Boisvert et al. 2023): the same state and action give the same
 * state and, pixel for pixel, the image of its RGBImgPartialObsWrapper
 * (tests/interop/grid_minigrid.py). Layouts and missions are those of its level GoToLocal, drawn by
 * numbers of ours. Use:
 *
 *     grid_world_t w;
 *     grid_world_make(&w, seed, episode);
 *     grid_sprites_t *sprites = grid_sprites_new();
 *     while (!grid_world_solved(&w)) {
 *         grid_view_draw(sprites, &w, rgb);
 *         grid_world_act(&w, grid_plan(&w));
 *     }
 *     free(sprites);
 */
#ifndef GATO_GRID_WORLD_H
#define GATO_GRID_WORLD_H

#include <stdbool.h>
#include <stdint.h>

enum {
    GRID_ROOM = 8,    /* cells of a side, walls included */
    GRID_OBJECTS = 8, /* objects that grid_world_make places */
    GRID_VIEW = 7,    /* cells of a side of the view */
    GRID_TILE = 8,    /* pixels of a side of a cell */
    GRID_IMAGE = GRID_VIEW * GRID_TILE,
    GRID_STEPS = 64,  /* actions of an episode */
    GRID_MISSION = 64 /* bytes of a mission, its end included */
};

typedef enum { GRID_EMPTY, GRID_WALL, GRID_KEY, GRID_BALL, GRID_BOX, GRID_KINDS } grid_kind_t;
typedef enum {
    GRID_RED,
    GRID_GREEN,
    GRID_BLUE,
    GRID_PURPLE,
    GRID_YELLOW,
    GRID_GREY,
    GRID_COLORS
} grid_color_t;
extern const char *const grid_kind_names[GRID_KINDS];
extern const char *const grid_color_names[GRID_COLORS];

/* MiniGrid's numbers. */
typedef enum { GRID_EAST, GRID_SOUTH, GRID_WEST, GRID_NORTH, GRID_DIRECTIONS } grid_direction_t;
typedef enum {
    GRID_LEFT,  /* turns */
    GRID_RIGHT, /* turns */
    GRID_FORWARD,
    GRID_PICKUP,
    GRID_DROP,
    GRID_TOGGLE, /* opens a box, which is empty and vanishes */
    GRID_DONE,   /* does nothing */
    GRID_ACTIONS
} grid_action_t;

typedef struct {
    grid_kind_t kind;
    grid_color_t color; /* walls are grey; empty cells have GRID_RED */
} grid_thing_t;

typedef struct {
    grid_thing_t cell[GRID_ROOM][GRID_ROOM]; /* [y][x], y grows to the south */
    int x, y;
    grid_direction_t direction;
    grid_thing_t carried; /* GRID_EMPTY: nothing */
    grid_thing_t mission; /* to stand before a thing of this kind and color, facing it */
    /* Where such things stood when the mission was set. They cannot move: whoever faces one has
     * solved the mission. */
    bool wanted[GRID_ROOM][GRID_ROOM];
} grid_world_t;

/* An empty room, the agent in its corner at (1, 1), facing east; no mission. */
void grid_world_clear(grid_world_t *w);
/* The mission is about the things of that kind and color that stand in the room now. */
void grid_world_aim(grid_world_t *w, grid_thing_t mission);
/* The layout of an episode, a function of (seed, episode): the agent anywhere, then eight keys,
 * balls and boxes of any colors, none next to the agent and none out of reach, then one of them as
 * the mission. */
void grid_world_make(grid_world_t *w, uint64_t seed, uint64_t episode);
/* "go to the red ball"; "go to a red ball" where there are several. Returns text. */
char *grid_world_mission(const grid_world_t *w, char text[GRID_MISSION]);
void grid_world_act(grid_world_t *w, grid_action_t action);
/* Does the agent face what it was sent to? */
bool grid_world_solved(const grid_world_t *w);
/* The reward of the action that solves it, the steps-th of the episode; others get 0. */
double grid_reward(uint32_t steps);
/* Can an agent that starts where this one stands walk up to every object? */
bool grid_world_reachable(const grid_world_t *w);
/* Moves (x, y) to the cell next to it in that direction; from within the walls, that is in the
 * room. */
void grid_step(grid_direction_t direction, int *x, int *y);
/* What a turn makes of a direction; other actions leave it. */
grid_direction_t grid_turn(grid_direction_t direction, grid_action_t action);
/* Can it be picked up? */
bool grid_is_object(grid_thing_t thing);

/* ---- its look (grid_view.c) ---- */

/* Drawn tiles; release with free(). */
typedef struct grid_sprites grid_sprites_t;
grid_sprites_t *grid_sprites_new(void);
/* Draws what the agent sees into rgb [GRID_IMAGE, GRID_IMAGE, 3]: the 7 x 7 cells before it, itself
 * at the bottom in the middle facing up, what it carries beneath it; cells that it cannot see are
 * dark. */
void grid_view_draw(const grid_sprites_t *sprites, const grid_world_t *w, uint8_t *rgb);
/* Which cells of the view are seen; [row][column], row 0 the farthest. */
void grid_view_seen(const grid_world_t *w, bool seen[GRID_VIEW][GRID_VIEW]);

/* ---- its expert (grid_plan.c) ---- */

/* The first action of a shortest plan to solve the mission, from any state that actions reach;
 * GRID_DONE when it is solved. It walks; only an agent that has blocked its own way, by putting
 * things down, opens boxes and moves things aside. */
grid_action_t grid_plan(const grid_world_t *w);

#endif
