/* grid_helper.c - the C side of grid_minigrid.py: plays the room of gato/env/grid_world.h from any
 * state.
 *
 *   grid_helper layouts SEED N    N layouts, a state a line
 *   grid_helper play              reads lines "STATE ACTION...", plays each, and writes every state
 *                                 from the first on: a line "STATE SOLVED REWARD SEEN MISSION",
 *                                 then the image's bytes
 *
 * STATE: x y direction, kind and color of what is carried, of the mission, and of every cell row by
 * row, all numbers of grid_world.h.
 */
#include "common/base/die.h"
#include "gato/env/grid_world.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 4096 };

static void print_thing(grid_thing_t thing) {
    printf(" %d %d", (int)thing.kind, (int)thing.color);
}

static void print_state(const grid_world_t *w) {
    printf("%d %d %d", w->x, w->y, (int)w->direction);
    print_thing(w->carried);
    print_thing(w->mission);
    for (int i = 0; i < GRID_ROOM * GRID_ROOM; i++)
        print_thing(w->cell[i / GRID_ROOM][i % GRID_ROOM]);
}

/* The next number of the line; false at its end. */
static bool next_number(char **at, int *value) {
    char *end;
    *value = (int)strtol(*at, &end, 10);
    bool found = end != *at;
    *at = end;
    return found;
}

static int number(char **at, int below) {
    int value;
    if (!next_number(at, &value) || value < 0 || value >= below) die(RC_DATA, "no such state");
    return value;
}

static grid_thing_t thing(char **at) {
    grid_thing_t t;
    t.kind = number(at, GRID_KINDS);
    t.color = number(at, GRID_COLORS);
    return t;
}

static void parse_state(char **at, grid_world_t *w) {
    grid_world_clear(w);
    w->x = number(at, GRID_ROOM);
    w->y = number(at, GRID_ROOM);
    w->direction = number(at, GRID_DIRECTIONS);
    w->carried = thing(at);
    grid_thing_t mission = thing(at);
    for (int i = 0; i < GRID_ROOM * GRID_ROOM; i++)
        w->cell[i / GRID_ROOM][i % GRID_ROOM] = thing(at);
    grid_world_aim(w, mission);
}

static void print_step(const grid_sprites_t *sprites, const grid_world_t *w, uint32_t steps) {
    static uint8_t rgb[GRID_IMAGE * GRID_IMAGE * 3];
    bool seen[GRID_VIEW][GRID_VIEW];
    char mission[GRID_MISSION];
    print_state(w);
    bool solved = grid_world_solved(w);
    printf(" %d %.17g ", solved, solved && steps ? grid_reward(steps) : 0.0);
    grid_view_seen(w, seen);
    for (int i = 0; i < GRID_VIEW * GRID_VIEW; i++)
        putchar(seen[i / GRID_VIEW][i % GRID_VIEW] ? '1' : '0');
    printf(" %s\n", grid_world_mission(w, mission));
    grid_view_draw(sprites, w, rgb);
    fwrite(rgb, sizeof rgb, 1, stdout);
}

static void play_line(const grid_sprites_t *sprites, char *line) {
    grid_world_t w;
    parse_state(&line, &w);
    print_step(sprites, &w, 0);
    int action;
    for (uint32_t steps = 1; next_number(&line, &action); steps++) {
        if (action < 0 || action >= GRID_ACTIONS) die(RC_DATA, "no such action");
        grid_world_act(&w, action);
        print_step(sprites, &w, steps);
    }
    fflush(stdout); /* the reader waits for the whole line's answer */
}

int main(int argc, char **argv) {
    die_set_program("grid_helper");
    if (argc == 4 && strcmp(argv[1], "layouts") == 0) {
        for (uint64_t i = 0; i < strtoull(argv[3], NULL, 10); i++) {
            grid_world_t w;
            grid_world_make(&w, strtoull(argv[2], NULL, 10), i);
            print_state(&w);
            putchar('\n');
        }
    } else if (argc == 2 && strcmp(argv[1], "play") == 0) {
        static char line[LINE];
        grid_sprites_t *sprites = grid_sprites_new();
        while (fgets(line, sizeof line, stdin)) play_line(sprites, line);
        free(sprites);
    } else {
        die(RC_USAGE, "usage: grid_helper layouts SEED N | grid_helper play");
    }
    return fflush(stdout) ? RC_RUNTIME : RC_OK;
}
