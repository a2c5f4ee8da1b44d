/* player_text.c - a policy writes texts: what it sees and what is given of each text runs first,
 * then id by id what it chooses, until it chooses the end. Only ids of texts are looked at.
 */
#include "gato/play/player_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int player_writes(const player_t *p, const char *name, reason_t *why) {
    const tasks_t *tasks = &p->m->tasks;
    char known[300] = "";
    for (size_t i = 0; i < tasks->n; i++) {
        const task_t *t = &tasks->v[i];
        size_t at = strlen(known);
        if (t->kind == RECORD_EPISODE || task_first(t, SIDE_OBSERVED, SLOT_TEXT) < 0) continue;
        if (!strcmp(t->name, name)) return player_needs_words(p, why) ? -1 : (int)i;
        snprintf(known + at, sizeof known - at, "%s'%s'", at ? ", " : "", t->name);
    }
    if (!*known) return reason_set(why, "the policy was trained on no text to be written");
    return reason_set(why, "the policy writes no text of a task '%s'; of %s", name, known);
}

/* What is seen and given of a text becomes the lane's timestep. 0, or text->rc. */
static int begin(player_t *p, player_text_t *text, uint32_t task, lane_t *lane, reason_t *why) {
    const task_t *t = &p->m->tasks.v[task];
    int image = task_first(t, SIDE_OBSERVED, SLOT_IMAGE),
        words = task_first(t, SIDE_OBSERVED, SLOT_TEXT);
    seen_t *s = &lane->now;
    layout_t l;
    text_ids_t ids = {0};
    lane->task = task;
    lane->is_open = false; /* for timesteps, until it is reset */
    lane->step = 0;
    lane->n_waiting = 0;
    *s = (seen_t){.data = {.task = task}};
    if (text->rgb && image < 0) {
        reason_set(why, "task '%s' of the policy has no images", t->name);
        return RC_MISFIT;
    }
    if (text->rgb && player_see_image(p, &t->slot[image], text->rgb, text->image_w, text->image_h,
                                      s, &s->data.slot[image], why))
        return RC_MISFIT;
    text_tokenizer_encode(p->words, text->given, strlen(text->given), &ids);
    /* The space behind a question belongs to it or to the answer, as it did in training. */
    bool question = *text->given && image >= 0;
    text->space_leads = question && text_tokenizer_space_leads(p->words);
    if (question && !text->space_leads) text_tokenizer_encode(p->words, " ", 1, &ids);
    if (ids.n) {
        s->owned[s->n_owned++] = ids.id;
        s->data.slot[words] =
            (slot_value_t){.text = ids.id, .text_len = ids.n, .text_given = ids.n};
    } else {
        text_ids_release(&ids);
    }
    if (layout_of(&l, &p->m->config, t, &s->data, why)) return RC_MISFIT;
    size_t tokens = layout_observation(&l), context = (size_t)p->m->config.model.context;
    if (!tokens) reason_set(why, "nothing to write about: no image, and no text given");
    if (tokens + 2 > context) /* an end and the separator need places */
        reason_set(why, "%zu tokens are seen and given, and the context holds %zu", tokens,
                   context);
    if (text->rgb && tokens - s->data.slot[words].text_given + 2 > context) return RC_MISFIT;
    return tokens && tokens + 2 <= context ? 0 : RC_USAGE;
}

/* Reads an id for each of n texts: those that do not end are kept, in *lane and *text. Returns how
 * many they are; id: theirs. */
static size_t choose_words(player_t *p, const sampler_t *how, size_t most, lane_t **lane,
                           player_text_t **text, size_t n, uint32_t *id) {
    uint32_t ids = p->m->tokens.text, end = text_tokenizer_end(p->words);
    const float *logits = player_read(p, lane, n, 0, ids);
    /* this id, an end and the separator need places */
    size_t kept = 0, context = (size_t)p->m->config.model.context;
    for (size_t i = 0; i < n; i++) {
        text_ids_t *written = &text[i]->written;
        double u = rng_uniform64(text[i]->draw, written->n);
        uint32_t chosen = sampler_choose(how, logits + i * ids, ids, u);
        text[i]->ended = chosen == end;
        if (text[i]->ended) continue;
        text_ids_add(written, chosen);
        if (written->n >= most || lane[i]->used + 3 >= context) continue;
        lane[kept] = lane[i];
        text[kept] = text[i];
        id[kept++] = chosen;
    }
    return kept;
}

void player_write(player_t *p, uint32_t task, const sampler_t *how, size_t most,
                  player_text_t *text, size_t n) {
    if (n > p->n_lanes || !n) BUG("%zu texts in %zu lanes", n, p->n_lanes);
    lane_t **lane = xcalloc(n, sizeof *lane);
    player_text_t **open = xcalloc(n, sizeof *open);
    uint32_t *id = xcalloc(n, sizeof *id);
    size_t left = 0;
    for (size_t i = 0; i < n; i++) {
        lane[left] = &p->lane[i];
        open[left] = &text[i];
        text[i].written = (text_ids_t){0};
        text[i].ended = false;
        seen_release(&p->lane[i].now);
        text[i].rc = begin(p, &text[i], task, &p->lane[i], &text[i].why);
        left += text[i].rc == 0;
    }
    if (left) player_run_beginnings(p, lane, left);
    while (left && (left = choose_words(p, how, most, lane, open, left, id)))
        player_run_words(p, lane, id, left);
    for (size_t i = 0; i < n; i++) seen_release(&p->lane[i].now);
    free(lane);
    free(open);
    free(id);
}

/* Bytes of text up to its last whole character: what ends amid one of UTF-8 ends before it. */
static size_t whole_characters(const char *text, size_t size) {
    size_t tail = 0; /* bytes behind the last one that begins a character */
    while (tail < 3 && tail < size && ((uint8_t)text[size - 1 - tail] & 0xc0) == 0x80) tail++;
    if (tail == size) return size;
    uint8_t first = (uint8_t)text[size - 1 - tail];
    size_t wants = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
    return tail < wants ? size - 1 - tail : size;
}

char *player_text(const player_t *p, const player_text_t *text, size_t *size) {
    char *written = text_tokenizer_decode(p->words, text->written.id, text->written.n, size);
    if (text->space_leads && *written == ' ') memmove(written, written + 1, (*size)--);
    if (!text->ended) *size = whole_characters(written, *size);
    written[*size] = 0;
    return written;
}
