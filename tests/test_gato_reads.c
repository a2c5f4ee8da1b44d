/* test_gato_reads.c - the last layer over the positions that losses read, against the same layer
 * over all positions. PyTorch's numbers are in test_gato_model.c.
 */
#include "common/base/pool.h"
#include "gato/model/reads.h"
#include "tests/gato_case.h"
#include "tests/test.h"

enum { SEQUENCES = 3 };

typedef struct {
    gato_case_t c;
    gato_model_t *m;
    batch_t b;
    size_t n; /* floats of all gradients */
} setup_t;

static void set_up(setup_t *s, const char *name, const char *const *set, size_t n_set) {
    case_load(&s->c, name);
    for (size_t i = 0; i < n_set; i++) config_set(gato_config_table, &s->c.config, set[i]);
    s->m = gato_model_new(&s->c.config, &s->c.vocabulary, &s->c.tasks, 3);
    s->n = params_block(s->m->params);
    batch_init(&s->b, s->m);
    for (size_t i = 0; i < SEQUENCES; i++) case_add(&s->c, &s->b);
}

static void tear_down(setup_t *s) {
    batch_release(&s->b);
    gato_model_free(s->m);
    case_close(&s->c);
}

/* One step; its loss, all gradients, and the rows that the last layer had (0 = all). */
typedef struct {
    double loss;
    float *gradient;
    size_t rows, all;
} outcome_t;

static outcome_t step(const setup_t *s, graph_opts_t o) {
    gato_graphs_t *g = gato_graphs_new(s->m, o);
    outcome_t r = {.loss = case_step(g, &s->b), .gradient = xmalloc(s->n * sizeof *r.gradient)};
    memcpy(r.gradient, params_base(s->m->params, PARAMS_GRAD), s->n * sizeof *r.gradient);
    const gato_graph_t *at = gato_graphs_last(g);
    r.all = at->B * at->T;
    r.rows = at->read == NO_VAR ? 0 : tape_count(at->tape, at->read);
    gato_graphs_free(g);
    return r;
}

static void check_equal(const setup_t *s, const char *name, const outcome_t *got,
                        const outcome_t *whole) {
    CHECK(fabs(got->loss - whole->loss) < 1e-6, "%s: loss %.9g, of all positions %.9g", name,
          got->loss, whole->loss);
    for (size_t i = 0; i < params_n(s->m->params); i++) {
        const param_t *p = params_at(s->m->params, (int)i);
        if (!params_match(p->name, s->m->wrt, s->m->n_wrt)) continue;
        const float *a = got->gradient + p->offset, *b = whole->gradient + p->offset;
        double most = 0, off = 0;
        for (size_t k = 0; k < p->count; k++) {
            most = fmax(most, fabs((double)b[k]));
            off = fmax(off, fabs((double)a[k] - (double)b[k]));
        }
        CHECK(off <= 4e-6 * most + 1e-8, "%s: %s is off by %g of %g", name, p->name, off, most);
    }
}

/* The step over what is read, exact and padded, on any number of threads, against the whole. some:
 * fewer rows than all are expected. */
static void check_reads(const char *name, const char *const *set, size_t n_set, bool some) {
    setup_t s;
    set_up(&s, name, set, n_set);
    for (int exact = 0; exact < 2; exact++) {
        graph_opts_t o = {.train = true, .exact = exact}, all = o, apart = o;
        all.whole = true;
        apart.unshared = true;
        outcome_t whole = step(&s, all), got = step(&s, o), unshared = step(&s, apart);
        CHECK(whole.rows == 0 && (got.rows > 0 || !some) && got.rows < got.all, "%s: %zu of %zu",
              name, got.rows, got.all);
        check_equal(&s, name, &got, &whole);
        pool_set_threads(exact ? 3 : 1);
        outcome_t again = step(&s, o);
        pool_set_threads(2);
        size_t bytes = s.n * sizeof(float);
        CHECK(!memcmp(again.gradient, got.gradient, bytes) && again.loss == got.loss,
              "%s: other threads", name);
        CHECK(!memcmp(unshared.gradient, got.gradient, bytes) && unshared.loss == got.loss,
              "%s: shared memory", name);
        free(whole.gradient);
        free(got.gradient);
        free(unshared.gradient);
        free(again.gradient);
    }
    tear_down(&s);
}

TEST(actions_read_few_positions) {
    check_reads("codes", NULL, 0, true);
    check_reads("codes", (const char *const[]){"loss.action_kind=mse"}, 1, true);
    check_reads("codes_merge1", (const char *const[]){"loss.action_kind=mix"}, 1, true);
    check_reads("vector_linear", (const char *const[]){"model.layers=1"}, 1, true);
    check_reads("patches", (const char *const[]){"model.activation=geglu"}, 1, true);
}
TEST(dropout_falls_on_the_same_elements) {
    check_reads("codes", (const char *const[]){"model.dropout=0.3"}, 1, true);
}
TEST(frozen_blocks) {
    check_reads("codes", (const char *const[]){"train.freeze=transformer.h.1.attn"}, 1, true);
}
/* An adapter's dropout is one for the keys of all rows and the queries of some. */
TEST(adapters) {
    check_reads(
        "codes",
        (const char *const[]){"lora.rank=2", "lora.dropout=0.3", "lora.targets=c_attn,c_proj,c_fc"},
        3, true);
}
/* Several heads that read the same positions, and others. */
TEST(heads_share_positions) {
    check_reads("codes",
                (const char *const[]){"loss.image=0.5", "loss.horizon=[2,3]", "loss.vector=0.7"}, 3,
                true);
}
/* Nearly all positions: the whole layer, or nearly. */
TEST(text_reads_most_positions) {
    check_reads("text", NULL, 0, false);
}

/* What is found, by hand: the separator and the tokens before actions. */
TEST(reads_are_the_positions_of_targets) {
    setup_t s;
    set_up(&s, "codes", NULL, 0);
    for (int exact = 0; exact < 2; exact++) {
        packing_t p = packing_of(&s.b, exact);
        reads_t r = {0};
        reads_find(&r, &s.b, &p);
        size_t n = 0, next = 0;
        for (size_t q = 0; q < SEQUENCES; q++)
            for (int32_t at = column_at(&s.b.start, q); at < column_at(&s.b.start, q + 1); at++) {
                bool last = at + 1 == column_at(&s.b.start, q + 1);
                bool read = !last && column_at(&s.b.mask, (size_t)at + 1);
                size_t place =
                    p.row[q] * p.T + p.offset[q] + (size_t)(at - column_at(&s.b.start, q));
                CHECK((r.number[place] >= 0) == read, "position %d", at);
                n += read;
            }
        CHECK(r.n == n && n > 0, "%zu, by hand %zu", r.n, n);
        int32_t list[512];
        REQUIRE(n + 5 < 512);
        reads_fill(&r, &p, list, n + 5);
        for (size_t i = 0; i < p.B * p.T; i++)
            if (r.number[i] >= 0) {
                CHECK(r.number[i] == (int32_t)next && list[next] == (int32_t)i);
                next++;
            }
        for (size_t i = n; i < n + 5; i++) CHECK(list[i] == -1);
        CHECK(reads_bound(&r, &p, true) == n && reads_bound(&r, &p, false) == graph_bucket(n));
        r.n = p.B * p.T - 1;
        CHECK(reads_bound(&r, &p, true) == 0, "nearly all are all");
        reads_release(&r);
        packing_release(&p);
    }
    tear_down(&s);
}
