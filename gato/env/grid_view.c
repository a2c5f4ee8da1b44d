/* grid_view.c - what the agent of the room sees, in MiniGrid's look.
 *
 * A tile is drawn at three times its size: shapes that a pixel's middle lies in paint it, later
 * ones over earlier ones. Then the light of a seen cell moves every value 30 % of the way to
 * white, and 3 x 3 pixels become one by their mean. Both steps cut to integers, as MiniGrid does.
 */
#include "common/base/die.h"
#include "gato/env/grid_world.h"
#include <stdlib.h>
#include <string.h>

enum { FINE = 3, FINE_TILE = GRID_TILE * FINE, AGENT_ROW = GRID_VIEW - 1, MIDDLE = GRID_VIEW / 2 };

typedef struct {
    uint8_t rgb[3];
} pixel_t;
typedef struct {
    pixel_t at[GRID_TILE][GRID_TILE];
} tile_t;

struct grid_sprites {
    tile_t thing[GRID_KINDS][GRID_COLORS];   /* in the light */
    tile_t carried[GRID_KINDS][GRID_COLORS]; /* the same beneath the agent */
    tile_t dark;                             /* a cell out of sight */
};

static const pixel_t BLACK = {{0, 0, 0}}, LINE = {{100, 100, 100}}, AGENT = {{255, 0, 0}};
static const pixel_t color_of[GRID_COLORS] = {{{255, 0, 0}},    {{0, 255, 0}},   {{0, 0, 255}},
                                              {{112, 39, 195}}, {{255, 255, 0}}, {{100, 100, 100}}};

/* ---- shapes in a tile of side 1, y down, borders included ---- */

typedef enum { RECT, DISC } form_t;
typedef struct {
    grid_kind_t kind;
    form_t form;
    double a, b, c, d; /* RECT: from (a, b) to (c, d). DISC: middle (a, b), radius c */
    bool hole;         /* black instead of the thing's color */
} shape_t;

static const shape_t shapes[] = {
    {GRID_WALL, RECT, 0, 0, 1, 1, false},
    {GRID_KEY, RECT, 0.50, 0.31, 0.63, 0.88, false}, /* shaft */
    {GRID_KEY, RECT, 0.38, 0.59, 0.50, 0.66, false}, /* two teeth */
    {GRID_KEY, RECT, 0.38, 0.81, 0.50, 0.88, false},
    {GRID_KEY, DISC, 0.56, 0.28, 0.190, 0, false}, /* ring */
    {GRID_KEY, DISC, 0.56, 0.28, 0.064, 0, true},
    {GRID_BALL, DISC, 0.5, 0.5, 0.31, 0, false},
    {GRID_BOX, RECT, 0.12, 0.12, 0.88, 0.88, false}, /* border and lid */
    {GRID_BOX, RECT, 0.18, 0.18, 0.82, 0.82, true},
    {GRID_BOX, RECT, 0.16, 0.47, 0.84, 0.53, false},
};
static const double LINE_WIDTH = 0.031; /* at the left and at the top of every cell */

static bool in_shape(const shape_t *s, double x, double y) {
    if (s->form == RECT) return x >= s->a && x <= s->c && y >= s->b && y <= s->d;
    return (x - s->a) * (x - s->a) + (y - s->b) * (y - s->b) <= s->c * s->c;
}

/* A triangle with its base at the bottom, from (0.19, 0.88) to (0.81, 0.88), and its tip at
 * (0.5, 0.13). */
static bool in_agent(double x, double y) {
    double half_base = 0.31, height = 0.75, above_base = 0.88 - y;
    double half_width = half_base * (1 - above_base / height);
    return above_base >= 0 && x >= 0.5 - half_width && x <= 0.5 + half_width;
}

/* ---- tiles ---- */

static pixel_t paint(grid_thing_t thing, bool agent, double x, double y) {
    pixel_t p = x <= LINE_WIDTH || y <= LINE_WIDTH ? LINE : BLACK;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        if (shapes[i].kind == thing.kind && in_shape(&shapes[i], x, y))
            p = shapes[i].hole ? BLACK : color_of[thing.color];
    return agent && in_agent(x, y) ? AGENT : p;
}

static uint8_t lighter(uint8_t value) {
    return (uint8_t)(value + (255 - value) * 3 / 10);
}

static uint8_t mean(const pixel_t fine[FINE_TILE][FINE_TILE], int row, int column, int channel) {
    int sum = 0;
    for (int y = 0; y < FINE; y++)
        for (int x = 0; x < FINE; x++) sum += fine[row * FINE + y][column * FINE + x].rgb[channel];
    return (uint8_t)(sum / (FINE * FINE));
}

static tile_t make_tile(grid_thing_t thing, bool agent, bool lit) {
    pixel_t fine[FINE_TILE][FINE_TILE];
    for (int y = 0; y < FINE_TILE; y++)
        for (int x = 0; x < FINE_TILE; x++) {
            pixel_t p = paint(thing, agent, (x + 0.5) / FINE_TILE, (y + 0.5) / FINE_TILE);
            for (int c = 0; lit && c < 3; c++) p.rgb[c] = lighter(p.rgb[c]);
            fine[y][x] = p;
        }
    tile_t tile;
    for (int y = 0; y < GRID_TILE; y++)
        for (int x = 0; x < GRID_TILE; x++)
            for (int c = 0; c < 3; c++) tile.at[y][x].rgb[c] = mean(fine, y, x, c);
    return tile;
}

grid_sprites_t *grid_sprites_new(void) {
    grid_sprites_t *s = NEW(grid_sprites_t);
    for (int kind = 0; kind < GRID_KINDS; kind++)
        for (int color = 0; color < GRID_COLORS; color++) {
            grid_thing_t thing = {kind, color};
            s->thing[kind][color] = make_tile(thing, false, true);
            s->carried[kind][color] = make_tile(thing, true, true);
        }
    s->dark = make_tile((grid_thing_t){GRID_EMPTY, GRID_RED}, false, false);
    return s;
}

/* ---- the view ---- */

/* The things of the view, [row][column]; what lies outside of the room is wall. */
static void cut_view(const grid_world_t *w, grid_thing_t view[GRID_VIEW][GRID_VIEW]) {
    int ahead_x = 0, ahead_y = 0, right_x = 0, right_y = 0;
    grid_step(w->direction, &ahead_x, &ahead_y);
    grid_step(grid_turn(w->direction, GRID_RIGHT), &right_x, &right_y);
    for (int row = 0; row < GRID_VIEW; row++)
        for (int column = 0; column < GRID_VIEW; column++) {
            int ahead = AGENT_ROW - row, right = column - MIDDLE;
            int x = w->x + ahead * ahead_x + right * right_x,
                y = w->y + ahead * ahead_y + right * right_y;
            bool inside = x >= 0 && y >= 0 && x < GRID_ROOM && y < GRID_ROOM;
            view[row][column] = inside ? w->cell[y][x] : (grid_thing_t){GRID_WALL, GRID_GREY};
        }
}

/* Sight spreads from the agent's cell: along a row to both sides, and from each cell that lets it
 * through to the row ahead, straight and to the side of the sweep. A row is swept to the right,
 * then to the left, before the next one ahead. */
static void spread_sight(const grid_thing_t view[GRID_VIEW][GRID_VIEW],
                         bool seen[GRID_VIEW][GRID_VIEW]) {
    memset(seen, 0, sizeof(bool[GRID_VIEW][GRID_VIEW]));
    seen[AGENT_ROW][MIDDLE] = true;
    for (int row = AGENT_ROW; row >= 0; row--)
        for (int side = 1; side >= -1; side -= 2)
            for (int i = 0; i < GRID_VIEW - 1; i++) {
                int column = side > 0 ? i : GRID_VIEW - 1 - i;
                if (!seen[row][column] || view[row][column].kind == GRID_WALL) continue;
                seen[row][column + side] = true;
                if (!row) continue;
                seen[row - 1][column + side] = true;
                seen[row - 1][column] = true;
            }
}

void grid_view_seen(const grid_world_t *w, bool seen[GRID_VIEW][GRID_VIEW]) {
    grid_thing_t view[GRID_VIEW][GRID_VIEW];
    cut_view(w, view);
    spread_sight(view, seen);
}

void grid_view_draw(const grid_sprites_t *sprites, const grid_world_t *w, uint8_t *rgb) {
    grid_thing_t view[GRID_VIEW][GRID_VIEW];
    bool seen[GRID_VIEW][GRID_VIEW];
    cut_view(w, view);
    spread_sight(view, seen);
    for (int row = 0; row < GRID_VIEW; row++)
        for (int column = 0; column < GRID_VIEW; column++) {
            grid_thing_t thing = view[row][column];
            const tile_t *tile = &sprites->dark;
            if (row == AGENT_ROW && column == MIDDLE)
                tile = &sprites->carried[w->carried.kind][w->carried.color];
            else if (seen[row][column])
                tile = &sprites->thing[thing.kind][thing.color];
            for (int y = 0; y < GRID_TILE; y++)
                memcpy(rgb + ((row * GRID_TILE + y) * GRID_IMAGE + column * GRID_TILE) * 3,
                       tile->at[y], sizeof tile->at[y]);
        }
}
