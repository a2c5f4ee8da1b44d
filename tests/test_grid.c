/* test_grid.c - the environment "grid". Oracles: rooms drawn as text with the states that
 * MiniGrid's rules give them, pixels computed by hand, check values of minigrid's own images
 * (printed by tests/interop/grid_minigrid.py), lengths of plans by a search over played actions,
 * counts of layouts against uniform ones.
 */
#include "common/base/rng.h"
#include "gato/env/env.h"
#include "gato/env/grid_world.h"
#include "tests/test.h"
#include <zlib.h>

enum { INSIDE = GRID_ROOM - 2, LAYOUTS = 2000 };

/* ---- rooms as text ----
 *
 * Six rows of six cells: '.' is empty; "kKbBxX" are a red and a green key, ball, box; the agent
 * is one of ">v<^".
 */

static grid_thing_t thing_of(char letter) {
    static const char letters[] = "kKbBxX";
    const char *found = letter ? strchr(letters, letter) : NULL;
    if (!found) return (grid_thing_t){GRID_EMPTY, GRID_RED};
    int i = (int)(found - letters);
    return (grid_thing_t){GRID_KEY + i / 2, i % 2 ? GRID_GREEN : GRID_RED};
}

static grid_world_t room(const char *text, char carried, char mission) {
    grid_world_t w;
    grid_world_clear(&w);
    for (int i = 0; i < INSIDE * INSIDE; i++) {
        int x = 1 + i % INSIDE, y = 1 + i / INSIDE;
        const char *agent = strchr(">v<^", text[i]);
        w.cell[y][x] = thing_of(text[i]);
        if (!agent) continue;
        w.x = x;
        w.y = y;
        w.direction = (grid_direction_t)(agent - ">v<^");
    }
    w.carried = thing_of(carried);
    grid_world_aim(&w, thing_of(mission));
    return w;
}

static char letter_of(grid_thing_t t) {
    if (t.kind == GRID_EMPTY) return '.';
    return "kKbBxX"[2 * (t.kind - GRID_KEY) + (t.color == GRID_GREEN)];
}

static const char *text_of(const grid_world_t *w) {
    static char text[INSIDE * INSIDE + 3];
    for (int i = 0; i < INSIDE * INSIDE; i++)
        text[i] = letter_of(w->cell[1 + i / INSIDE][1 + i % INSIDE]);
    text[(w->y - 1) * INSIDE + w->x - 1] = ">v<^"[w->direction];
    text[INSIDE * INSIDE] = ' ';
    text[INSIDE * INSIDE + 1] = letter_of(w->carried);
    text[INSIDE * INSIDE + 2] = 0;
    return text;
}

/* Plays "lrfpdtn" (left, right, forward, pick up, drop, toggle, nothing) from a room; the last
 * letter of both rooms is what is carried. */
static void check_play(const char *from, const char *actions, const char *to) {
    grid_world_t w = room(from, from[strlen(from) - 1], 'K');
    for (const char *a = actions; *a; a++)
        grid_world_act(&w, (grid_action_t)(strchr("lrfpdtn", *a) - "lrfpdtn"));
    CHECK(strcmp(text_of(&w), to) == 0, "%s: %s", actions, text_of(&w));
}

#define REST "........................" /* four empty rows */

TEST(grid_turns_and_walks) {
    check_play(">.........k." REST " .", "l", "^.........k." REST " .");
    check_play(">.........k." REST " .", "r", "v.........k." REST " .");
    check_play(">.........k." REST " .", "rrr", "^.........k." REST " .");
    check_play(">.........k." REST " .", "lll", "v.........k." REST " .");
    check_play(">.........k." REST " .", "ff", "..>.......k." REST " .");
    check_play(">.........k." REST " .", "lf", "^.........k." REST " .");
    check_play(">.........k." REST " .", "rfl", "......>...k." REST " .");
    check_play(">.........k." REST " .", "n", ">.........k." REST " .");
}

TEST(grid_things_block_and_are_moved) {
    check_play("..>k........" REST " .", "f", "..>k........" REST " .");
    check_play("..>k........" REST " .", "p", "..>........." REST " k");
    check_play("..>b........" REST " .", "pf", "...>........" REST " b");
    check_play("..>X........" REST " .", "p", "..>........." REST " X");
    check_play("..>k........" REST " .", "prd", "..v.....k..." REST " .");
    check_play("..>k........" REST " .", "ppd", "..>k........" REST " .");
    check_play("..>k........" REST " B", "p", "..>k........" REST " B");
    check_play("..>k........" REST " B", "d", "..>k........" REST " B");
    check_play("..>........." REST " B", "d", "..>B........" REST " .");
    check_play("..>........." REST " .", "d", "..>........." REST " .");
    /* Nothing goes into a wall or out of it. */
    check_play("..^........." REST " B", "d", "..^........." REST " B");
    check_play("..^........." REST " .", "p", "..^........." REST " .");
}

TEST(grid_boxes_open_and_vanish) {
    check_play("..>x........" REST " .", "t", "..>........." REST " .");
    check_play("..>x........" REST " B", "tf", "...>........" REST " B");
    check_play("..>k........" REST " .", "t", "..>k........" REST " .");
    check_play("..>b........" REST " .", "t", "..>b........" REST " .");
    check_play("..^........." REST " .", "tn", "..^........." REST " .");
}

TEST(grid_is_solved_by_facing_it) {
    char text[GRID_MISSION];
    grid_world_t w = room(">.b........." REST, '.', 'b');
    CHECK_STR(grid_world_mission(&w, text), "go to the red ball");
    CHECK(!grid_world_solved(&w));
    grid_world_act(&w, GRID_FORWARD);
    CHECK(grid_world_solved(&w));
    grid_world_act(&w, GRID_LEFT);
    CHECK(!grid_world_solved(&w), "beside it, but looking elsewhere");
    w = room(">x.B........" REST, '.', 'x');
    CHECK(grid_world_solved(&w));
    CHECK_STR(grid_world_mission(&w, text), "go to the red box");
    w = room(">KX.B.....K." REST, '.', 'K');
    CHECK_STR(grid_world_mission(&w, text), "go to a green key");
    w = room(">b.........." REST, '.', 'B');
    CHECK(!grid_world_solved(&w), "another color");
    /* 1 - 0.9 * steps / 64 */
    CHECK_NEAR(grid_reward(1), 0.9859375, 1e-12);
    CHECK_NEAR(grid_reward(64), 0.1, 1e-12);
}

/* ---- layouts ---- */

static bool is_inside(int i) {
    return i >= 1 && i <= INSIDE;
}

/* Reachability by spreading until nothing changes. */
static bool all_reachable(const grid_world_t *w) {
    bool reached[GRID_ROOM][GRID_ROOM] = {{false}};
    reached[w->y][w->x] = true;
    for (int round = 0; round < GRID_ROOM * GRID_ROOM; round++)
        for (int y = 1; y <= INSIDE; y++)
            for (int x = 1; x <= INSIDE; x++) {
                if (!reached[y][x] || w->cell[y][x].kind != GRID_EMPTY) continue;
                reached[y - 1][x] = reached[y + 1][x] = reached[y][x - 1] = reached[y][x + 1] =
                    true;
            }
    for (int y = 1; y <= INSIDE; y++)
        for (int x = 1; x <= INSIDE; x++)
            if (w->cell[y][x].kind != GRID_EMPTY && !reached[y][x]) return false;
    return true;
}

typedef struct {
    int kind[GRID_KINDS], color[GRID_COLORS], mission[GRID_KINDS], direction[GRID_DIRECTIONS];
    int x[GRID_ROOM], y[GRID_ROOM];
} counts_t;

static void check_layout(const grid_world_t *w, counts_t *n) {
    int objects = 0, wanted = 0;
    for (int y = 0; y < GRID_ROOM; y++)
        for (int x = 0; x < GRID_ROOM; x++) {
            grid_thing_t t = w->cell[y][x];
            bool border = !is_inside(x) || !is_inside(y);
            CHECK(border == (t.kind == GRID_WALL), "(%d, %d)", x, y);
            wanted += w->wanted[y][x];
            CHECK(w->wanted[y][x] ==
                  (t.kind == w->mission.kind && t.color == w->mission.color && !border));
            if (border || t.kind == GRID_EMPTY) continue;
            objects++;
            n->kind[t.kind]++;
            n->color[t.color]++;
            CHECK(abs(x - w->x) + abs(y - w->y) >= 2, "next to the agent");
        }
    CHECK(objects == GRID_OBJECTS && wanted >= 1, "%d objects, %d wanted", objects, wanted);
    CHECK(is_inside(w->x) && is_inside(w->y) && w->carried.kind == GRID_EMPTY);
    CHECK(all_reachable(w));
    n->mission[w->mission.kind]++;
    n->direction[w->direction]++;
    n->x[w->x]++;
    n->y[w->y]++;
}

/* Within five standard deviations of n / ways. */
static void check_uniform(const char *what, const int *count, int ways, int n) {
    double p = 1.0 / ways;
    for (int i = 0; i < ways; i++)
        CHECK(fabs(count[i] - n * p) < 5 * sqrt(n * p * (1 - p)), "%s %d: %d of %d", what, i,
              count[i], n);
}

TEST(grid_layouts_are_as_specified) {
    counts_t n = {0};
    for (uint64_t i = 0; i < LAYOUTS; i++) {
        grid_world_t w;
        grid_world_make(&w, 5, i);
        check_layout(&w, &n);
    }
    check_uniform("kind", n.kind + GRID_KEY, 3, LAYOUTS * GRID_OBJECTS);
    check_uniform("color", n.color, GRID_COLORS, LAYOUTS * GRID_OBJECTS);
    check_uniform("mission", n.mission + GRID_KEY, 3, LAYOUTS);
    check_uniform("direction", n.direction, GRID_DIRECTIONS, LAYOUTS);
    /* A layout with an object out of reach is drawn anew, which moves agents little. */
    check_uniform("x", n.x + 1, INSIDE, LAYOUTS);
    check_uniform("y", n.y + 1, INSIDE, LAYOUTS);
}

TEST(grid_unreachable_objects_are_seen) {
    grid_world_t w = room("kB....x....>" REST, '.', 'k');
    CHECK(!grid_world_reachable(&w), "the key is shut in its corner");
    w = room("kB.........>" REST, '.', 'k');
    CHECK(grid_world_reachable(&w));
}

TEST(grid_same_seed_same_layout) {
    grid_world_t a, b;
    char text[INSIDE * INSIDE + 3];
    int equal = 0;
    for (uint64_t i = 0; i < 50; i++) {
        grid_world_make(&a, 1, i);
        grid_world_make(&b, 1, i);
        CHECK(memcmp(&a, &b, sizeof a) == 0);
        snprintf(text, sizeof text, "%s", text_of(&a));
        grid_world_make(&b, 2, i);
        equal += strcmp(text, text_of(&b)) == 0;
        grid_world_make(&b, 1, i + 1);
        equal += strcmp(text, text_of(&b)) == 0;
        grid_world_make(&b, 1, (UINT64_C(1) << 32) + i);
        equal += strcmp(text, text_of(&b)) == 0;
    }
    CHECK(equal == 0, "%d equal layouts", equal);
}

/* ---- images ---- */

static uint8_t rgb[GRID_IMAGE * GRID_IMAGE * 3];

static void draw(const grid_world_t *w) {
    static grid_sprites_t *sprites;
    if (!sprites) sprites = grid_sprites_new();
    grid_view_draw(sprites, w, rgb);
}

/* A pixel of the tile in that row and column of the view. */
static bool pixel_is(int row, int column, int y, int x, int red, int green, int blue) {
    const uint8_t *p = rgb + ((row * GRID_TILE + y) * GRID_IMAGE + column * GRID_TILE + x) * 3;
    bool is = p[0] == red && p[1] == green && p[2] == blue;
    if (!is)
        fprintf(stderr, "  tile %d %d, pixel %d %d: %d %d %d\n", row, column, y, x, p[0], p[1],
                p[2]);
    return is;
}

/* Lines are (100, 100, 100) on black, one of three fine pixels wide. Light makes v + 0.3 (255 - v)
 * of a value v, cut to an integer: black 76, a line 146, a pixel with a line (146 + 2 * 76) / 3 =
 * 99, one in the corner, with five of nine, 114. */
TEST(grid_images_by_hand) {
    /* The agent faces north in the third column, its view reaches two cells over the wall; the red
     * ball is three cells ahead and one to the right. */
    grid_world_t w = room("............"
                          "...b........"
                          "......"
                          "..^...",
                          '.', 'b');
    draw(&w);
    CHECK(pixel_is(5, 3, 4, 4, 76, 76, 76) && pixel_is(5, 3, 4, 0, 99, 99, 99), "lit floor");
    CHECK(pixel_is(5, 3, 0, 4, 99, 99, 99) && pixel_is(5, 3, 0, 0, 114, 114, 114), "its lines");
    CHECK(pixel_is(3, 4, 4, 4, 255, 76, 76) && pixel_is(3, 4, 0, 0, 114, 114, 114), "ball");
    CHECK(pixel_is(0, 3, 0, 0, 146, 146, 146) && pixel_is(0, 3, 7, 7, 146, 146, 146), "wall");
    CHECK(pixel_is(6, 3, 5, 4, 255, 76, 76) && pixel_is(6, 3, 1, 1, 76, 76, 76), "agent");
    w = room("^...........b..........." /* now the wall is right ahead */
             "............",
             'X', 'b');
    draw(&w);
    CHECK(pixel_is(5, 3, 3, 3, 146, 146, 146), "wall ahead");
    CHECK(pixel_is(4, 3, 4, 4, 0, 0, 0) && pixel_is(4, 3, 4, 0, 33, 33, 33), "dark");
    CHECK(pixel_is(4, 3, 0, 0, 55, 55, 55), "five of nine of 100");
    CHECK(pixel_is(6, 1, 4, 4, 0, 0, 0), "outside, beside the room");
    CHECK(pixel_is(6, 3, 1, 1, 76, 175, 76), "the green box in its hands: border in five of nine");
}

/* Where a ball stands in the view, in each direction: one ahead and two to the right. */
TEST(grid_view_turns_with_the_agent) {
    static const int ahead[4][2] = {{1, 0}, {0, 1}, {-1, 0}, {0, -1}};
    for (int d = 0; d < GRID_DIRECTIONS; d++) {
        grid_world_t w;
        grid_world_clear(&w);
        w.x = w.y = 4;
        w.direction = (grid_direction_t)d;
        int x = 4 + ahead[d][0] - 2 * ahead[d][1], y = 4 + ahead[d][1] + 2 * ahead[d][0];
        w.cell[y][x] = (grid_thing_t){GRID_BALL, GRID_BLUE};
        draw(&w);
        CHECK(pixel_is(5, 5, 4, 4, 76, 76, 255), "direction %d", d);
    }
}

typedef struct {
    uint32_t crc, steps;
} trace_t;

TEST(grid_images_equal_minigrid) {
    static const trace_t want[] = {
        /* printed by tests/interop/grid_minigrid.py: layouts of seed 3, episodes 0 to 9 */
        {0x5b4d70e1, 40}, {0x312a198a, 7},  {0xc7f49ea3, 40}, {0x581d840f, 40}, {0x9bfd3418, 40},
        {0xbb47211a, 40}, {0xd7a0ae15, 40}, {0x54a00f45, 17}, {0xa8fa947a, 40}, {0xa9c3bc89, 40},
    };
    for (uint64_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        grid_world_t w;
        trace_t got = {0};
        grid_world_make(&w, 3, i);
        draw(&w);
        got.crc = (uint32_t)crc32(0, rgb, sizeof rgb);
        while (!grid_world_solved(&w) && got.steps < 40) {
            grid_world_act(&w, got.steps % 3 ? got.steps % 7 : GRID_FORWARD);
            draw(&w);
            got.crc = (uint32_t)crc32(got.crc, rgb, sizeof rgb);
            got.steps++;
        }
        CHECK(got.crc == want[i].crc && got.steps == want[i].steps, "layout %d: 0x%08x after %u",
              (int)i, got.crc, got.steps);
    }
}

/* ---- plans ---- */

/* Actions of the shortest walk, by playing all of them in breadth; -1: there is none. */
static int shortest(const grid_world_t *start) {
    static grid_world_t queue[INSIDE * INSIDE * GRID_DIRECTIONS];
    static int length[INSIDE * INSIDE * GRID_DIRECTIONS];
    bool met[GRID_ROOM][GRID_ROOM][GRID_DIRECTIONS] = {{{false}}};
    int n = 1;
    queue[0] = *start;
    length[0] = 0;
    met[start->y][start->x][start->direction] = true;
    for (int i = 0; i < n; i++) {
        if (grid_world_solved(&queue[i])) return length[i];
        for (grid_action_t a = GRID_LEFT; a <= GRID_FORWARD; a++) {
            grid_world_t w = queue[i];
            grid_world_act(&w, a);
            if (met[w.y][w.x][w.direction]) continue;
            met[w.y][w.x][w.direction] = true;
            queue[n] = w;
            length[n++] = length[i] + 1;
        }
    }
    return -1;
}

/* Plays the plan; its length, or -1 when it takes more than `most`. */
static int planned(grid_world_t w, int most) {
    for (int n = 0; n <= most; n++) {
        if (grid_world_solved(&w)) return n;
        grid_world_act(&w, grid_plan(&w));
    }
    return -1;
}

TEST(grid_plans_are_shortest) {
    int with_walk = 0, moved = 0;
    for (uint64_t i = 0; i < 300; i++) {
        grid_world_t w;
        rng_t r = rng_fold(rng_make(4, "test.play"), i);
        grid_world_make(&w, 9, i);
        for (uint64_t t = 0; t < 40 && !grid_world_solved(&w); t++) {
            if (t % 8 == 0) {
                int best = shortest(&w), got = planned(w, 64);
                if (best >= 0) CHECK(got == best, "layout %d: %d against %d", (int)i, got, best);
                CHECK(got >= 0, "layout %d is not solved", (int)i);
                with_walk += best >= 0;
                moved += w.carried.kind != GRID_EMPTY;
            }
            grid_world_act(&w, rng_below(r, t, GRID_ACTIONS));
        }
    }
    CHECK(with_walk > 600 && moved > 100, "%d states with a walk, %d with full hands", with_walk,
          moved);
    grid_world_t w = room(">b.........." REST, '.', 'b');
    CHECK(grid_plan(&w) == GRID_DONE, "solved");
}

/* Ways shut by things: the fewest actions, counted by hand. */
TEST(grid_plans_clear_a_blocked_way) {
    /* Toggle, forward, face it. */
    grid_world_t w = room(">xb...kk...." REST, '.', 'b');
    CHECK(planned(w, 64) == 2, "%d", planned(w, 64));
    /* Pick up, forward. */
    w = room(">kb...xk...." REST, '.', 'b');
    CHECK(planned(w, 64) == 2, "%d", planned(w, 64));
    /* The hands are full: the way down is free, drop there (right, drop), back (left), pick up,
     * forward. */
    w = room(">kb...."
             "k...."
             "K....." REST,
             'k', 'b');
    CHECK(planned(w, 64) == 5, "%d", planned(w, 64));
}

/* Any crowd of things, full hands or empty: the plan comes to its end. */
TEST(grid_plans_end_in_any_crowd) {
    int blocked = 0, full = 0;
    for (uint64_t i = 0; i < 2000; i++) {
        rng_t r = rng_fold(rng_make(6, "test.crowd"), i);
        grid_world_t w;
        grid_world_clear(&w);
        w.x = 1 + (int)rng_below(r, 0, INSIDE);
        w.y = 1 + (int)rng_below(r, 1, INSIDE);
        w.direction = rng_below(r, 2, 4);
        for (uint64_t k = 0; k < INSIDE * INSIDE; k++) {
            int x = 1 + (int)k % INSIDE, y = 1 + (int)k / INSIDE;
            if ((x == w.x && y == w.y) || rng_uniform(r, 100 + k) > 0.7f) continue;
            w.cell[y][x].kind = GRID_KEY + rng_below(r, 200 + k, 3);
            w.cell[y][x].color = rng_below(r, 300 + k, GRID_COLORS);
        }
        bool air = false;
        for (int d = 0; d < GRID_DIRECTIONS; d++) {
            int x = w.x, y = w.y;
            grid_step((grid_direction_t)d, &x, &y);
            air = air || w.cell[y][x].kind == GRID_EMPTY;
        }
        /* Where no cell beside it is free, actions never leave the hands full. */
        if (air && rng_uniform(r, 3) < 0.5f) w.carried = (grid_thing_t){GRID_BALL, GRID_GREY};
        int x, y;
        uint64_t draw = 400;
        do {
            x = 1 + (int)rng_below(r, draw++, INSIDE);
            y = 1 + (int)rng_below(r, draw++, INSIDE);
        } while (w.cell[y][x].kind == GRID_EMPTY);
        grid_world_aim(&w, w.cell[y][x]);
        blocked += shortest(&w) < 0;
        full += shortest(&w) < 0 && w.carried.kind != GRID_EMPTY;
        CHECK(planned(w, 100) >= 0, "room %d: %s", (int)i, text_of(&w));
    }
    CHECK(blocked > 500 && full > 100, "%d blocked, %d of them with full hands", blocked, full);
}

/* ---- the environment ---- */

static env_t *open_grid(void) {
    int rc;
    reason_t why;
    env_t *e = env_open(&(env_opts_t){.name = "grid"}, &rc, &why);
    if (!e) printf("FAIL env_open: %s\n", why.text), exit(1);
    return e;
}

TEST(grid_declares_its_task) {
    env_t *e = open_grid();
    const task_t *t = env_task(e);
    CHECK_STR(t->name, "grid");
    CHECK_STR(env_name(e), "grid");
    REQUIRE(t->n_slots == 4 && t->max_steps == 64);
    static const char *const name[] = {"image", "mission", "direction", ""};
    static const slot_kind_t kind[] = {SLOT_IMAGE, SLOT_TEXT, SLOT_DISCRETE, SLOT_DISCRETE};
    for (int i = 0; i < 4; i++) {
        CHECK_STR(t->slot[i].name, name[i]);
        CHECK(t->slot[i].kind == kind[i] && (t->slot[i].side == SIDE_ACTED) == (i == 3));
    }
    CHECK(t->slot[0].image_h == 56 && t->slot[0].image_w == 56);
    CHECK(t->slot[2].range[0] == 4 && t->slot[3].range[0] == 7);
    CHECK(env_n_vector(t) == 0 && env_n_discrete(t) == 1);
    CHECK_STR(env_renderer(e, NULL), "");
    env_close(e);
}

TEST(grid_shows_the_world) {
    env_t *e = open_grid();
    for (uint64_t i = 0; i < 20; i++) {
        grid_world_t w;
        char text[GRID_MISSION];
        double state[200];
        env_observation_t seen;
        grid_world_make(&w, 8, i);
        REQUIRE(!env_reset(e, 8, i, NULL) && !env_observe(e, true, &seen, NULL));
        draw(&w);
        CHECK(memcmp(seen.slot[0].rgb, rgb, sizeof rgb) == 0);
        CHECK_STR(seen.slot[1].text, grid_world_mission(&w, text));
        CHECK(seen.slot[2].discrete[0] == w.direction);
        CHECK(env_state(e, state, 200) == 135 && state[0] == w.x && state[1] == w.y);
        CHECK(state[5] == w.mission.kind &&
              state[7 + 2 * (3 * GRID_ROOM + 4)] == w.cell[3][4].kind);
        CHECK(!env_observe(e, false, &seen, NULL) && !seen.slot[0].rgb && seen.slot[1].text);
    }
    env_close(e);
}

typedef struct {
    double sum;
    int solved, steps;
} score_t;

static score_t play(env_t *e, bool expert, uint64_t episode) {
    score_t s = {0};
    env_outcome_t out = {0};
    rng_t r = rng_fold(rng_make(7, "test.actions"), episode);
    if (env_reset(e, 3, episode, NULL)) CHECK(false, "reset");
    while (!out.terminated && !out.truncated) {
        env_action_t action = {.discrete = {rng_below(r, (uint64_t)s.steps, GRID_ACTIONS)}};
        if (expert && env_expert(e, &action, NULL) != ENV_EXPERT) CHECK(false, "no expert");
        if (env_step(e, &action, &out, NULL)) CHECK(false, "step");
        s.steps++;
        s.sum += out.reward;
        CHECK(out.success == out.terminated && out.success == (out.reward > 0));
        if (out.success) CHECK_NEAR(out.reward, 1 - 0.9 * s.steps / 64.0, 1e-6);
    }
    CHECK(out.truncated == (s.steps == 64 && !out.terminated));
    s.solved = out.success;
    return s;
}

/* Expert returns have a standard deviation of 0.04, random ones of 0.30; two means of 1,000
 * episodes differ by 0.0018 and 0.0135 at one standard error; four of them are allowed. */
TEST(grid_returns_are_those_of_the_task) {
    env_t *e = open_grid();
    for (int expert = 0; expert < 2; expert++) {
        score_t all = {0};
        for (uint64_t i = 0; i < 1000; i++) {
            score_t s = play(e, expert, i);
            all.sum += s.sum / 1000;
            all.solved += s.solved;
        }
        if (expert) {
            CHECK_NEAR(all.sum, env_task(e)->expert_return, 0.0072);
            CHECK(all.solved == 1000, "%d of 1000", all.solved);
        } else {
            CHECK_NEAR(all.sum, env_task(e)->random_return, 0.054);
            CHECK(all.solved > 200 && all.solved < 400, "%d of 1000", all.solved);
        }
    }
    env_close(e);
}

TEST(grid_refuses_an_unknown_action) {
    env_t *e = open_grid();
    reason_t why;
    env_outcome_t out;
    env_action_t action = {.discrete = {7}};
    REQUIRE(!env_reset(e, 1, 1, NULL));
    CHECK(env_step(e, &action, &out, &why) == -1 && strstr(why.text, "0 to 6"), "%s", why.text);
    REQUIRE(!env_reset(e, 1, 1, NULL));
    action.discrete[0] = GRID_DONE;
    CHECK(!env_step(e, &action, &out, &why) && !out.terminated && out.reward == 0);
    env_close(e);
}
