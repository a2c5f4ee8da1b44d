/* text_coco.c - COCO's captions: {"images": [{"id", "file_name"}], "annotations": [{"image_id",
 * "caption"}]}, in either order. An item is an annotation. Held in memory: the images' ids and
 * names.
 */
#include "tokenize/text_format.h"

#include "common/io/text/json.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    char *id; /* as JSON: 7, "x7" */
    char *name;
    size_t place;
} coco_image_t;

struct coco_images {
    coco_image_t *image;
    size_t n, cap;
};

static void begin(text_source_t *s) {
    if (!s->images) s->images = NEW(coco_images_t);
    json_stream_release(&s->json);
    s->json = (json_stream_t){.more = text_bytes_more, .ctx = &s->in, .members = true};
}

static void add_image(text_source_t *s) {
    reason_t why;
    coco_images_t *t = s->images;
    cJSON *o = json_parse_data(s->json.text, s->json.size, &why);
    if (!o) die(RC_DATA, "'%s': image %zu: %s", s->job->in, t->n, why.text);
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(o, "id");
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "file_name"));
    if (!id || !name || !*name)
        die(RC_DATA, "'%s': image %zu has no \"id\" and \"file_name\"", s->job->in, t->n);
    t->image = xgrow(t->image, &t->cap, t->n + 1, sizeof *t->image);
    t->image[t->n] = (coco_image_t){.id = json_canonical(id), .name = xstrdup(name), .place = t->n};
    t->n++;
    cJSON_Delete(o);
}

static bool next(text_source_t *s, text_item_t *out) {
    reason_t why;
    for (;;) {
        int rc = json_stream_next(&s->json, &why);
        if (rc < 0) die(RC_DATA, "'%s': no JSON: %s", s->job->in, why.text);
        if (rc == 0) return false;
        if (!strcmp(s->json.member, "annotations")) break;
        if (s->counting && !strcmp(s->json.member, "images")) add_image(s);
    }
    s->number++;
    if (out) text_item_set(out, s->number, s->json.text, s->json.size);
    return true;
}

static int compare(const void *pa, const void *pb) {
    const coco_image_t *a = pa, *b = pb;
    int order = strcmp(a->id, b->id);
    if (order) return order;
    return a->place < b->place ? -1 : a->place > b->place;
}

static void counted(text_source_t *s) {
    coco_images_t *t = s->images;
    if (!t->n) die(RC_DATA, "'%s': COCO annotations without \"images\"", s->job->in);
    qsort(t->image, t->n, sizeof *t->image, compare);
    for (size_t i = 1; i < t->n; i++)
        if (!strcmp(t->image[i].id, t->image[i - 1].id) &&
            strcmp(t->image[i].name, t->image[i - 1].name))
            die(RC_DATA, "'%s': two images have the id %s: '%s' and '%s'", s->job->in,
                t->image[i].id, t->image[i - 1].name, t->image[i].name);
}

static int compare_id(const void *id, const void *image) {
    return strcmp(id, ((const coco_image_t *)image)->id);
}

static int take(const text_source_t *s, const cJSON *o, caption_t *out, reason_t *why) {
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(o, "image_id");
    if (!id) return reason_set(why, "an annotation without \"image_id\"");
    char *shown = json_canonical(id);
    const coco_image_t *image =
        bsearch(shown, s->images->image, s->images->n, sizeof *image, compare_id);
    int rc = image ? caption_from_json(o, s->job->caption, out, why)
                   : reason_set(why, "no image has the id %.60s", shown);
    free(shown);
    if (rc) return -1;
    free(out->image);
    out->image = xstrdup(image->name);
    return 0;
}

static int parse(const text_source_t *s, text_item_t *t, reason_t *why) {
    cJSON *o = json_parse_data(t->text, t->len, why);
    if (!o) return -1;
    int rc = take(s, o, &t->caption, why);
    cJSON_Delete(o);
    return rc;
}

static void release(text_source_t *s) {
    coco_images_t *t = s->images;
    for (size_t i = 0; i < t->n; i++) {
        free(t->image[i].id);
        free(t->image[i].name);
    }
    free(t->image);
    free(t);
}

const text_format_t text_coco = {.name = "coco",
                                 .what = "JSON (COCO's captions)",
                                 .begin = begin,
                                 .next = next,
                                 .counted = counted,
                                 .parse = parse,
                                 .release = release};
