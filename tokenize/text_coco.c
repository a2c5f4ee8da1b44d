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
    size_t place; /* in the file */
} coco_image_t;

struct coco_images {
    coco_image_t *image;
    size_t n, cap;
};

static void begin(text_source_t *source) {
    if (!source->images) source->images = NEW(coco_images_t);
    json_stream_release(&source->json);
    source->json = (json_stream_t){.more = text_bytes_more, .ctx = &source->in, .members = true};
}

static void add_image(text_source_t *source) {
    reason_t why;
    coco_images_t *images = source->images;
    cJSON *o = json_parse_data(source->json.text, source->json.size, &why);
    if (!o) die(RC_DATA, "'%s': image %zu: %s", source->job->in, images->n, why.text);
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(o, "id");
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "file_name"));
    if (!id || !name || !*name)
        die(RC_DATA, "'%s': image %zu has no \"id\" and \"file_name\"", source->job->in, images->n);
    images->image = xgrow(images->image, &images->cap, images->n + 1, sizeof *images->image);
    images->image[images->n] =
        (coco_image_t){.id = json_canonical(id), .name = xstrdup(name), .place = images->n};
    images->n++;
    cJSON_Delete(o);
}

static bool next(text_source_t *source, text_item_t *out) {
    reason_t why;
    for (;;) {
        int rc = json_stream_next(&source->json, &why);
        if (rc < 0) die(RC_DATA, "'%s' is not JSON: %s", source->job->in, why.text);
        if (rc == 0) return false;
        if (!strcmp(source->json.member, "annotations")) break;
        if (source->counting && !strcmp(source->json.member, "images")) add_image(source);
    }
    source->number++;
    if (out) text_item_set(out, source->number, source->json.text, source->json.size);
    return true;
}

/* By id; of one id, as in the file. */
static int compare(const void *pa, const void *pb) {
    const coco_image_t *a = pa, *b = pb;
    int order = strcmp(a->id, b->id);
    if (order) return order;
    return a->place < b->place ? -1 : a->place > b->place;
}

static void counted(text_source_t *source) {
    coco_images_t *images = source->images;
    if (!images->n) die(RC_DATA, "'%s': COCO annotations without \"images\"", source->job->in);
    qsort(images->image, images->n, sizeof *images->image, compare);
    for (size_t i = 1; i < images->n; i++)
        if (!strcmp(images->image[i].id, images->image[i - 1].id) &&
            strcmp(images->image[i].name, images->image[i - 1].name))
            die(RC_DATA, "'%s': two images have the id %s: '%s' and '%s'", source->job->in,
                images->image[i].id, images->image[i - 1].name, images->image[i].name);
}

static int compare_id(const void *id, const void *image) {
    return strcmp(id, ((const coco_image_t *)image)->id);
}

/* Of an annotation: its caption, and the name of its image. */
static int parse_annotation(const text_source_t *source, const cJSON *o, caption_t *out,
                            reason_t *why) {
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(o, "image_id");
    if (!id) return reason_set(why, "an annotation without \"image_id\"");
    char *shown = json_canonical(id);
    const coco_image_t *image =
        bsearch(shown, source->images->image, source->images->n, sizeof *image, compare_id);
    int rc = image ? caption_from_json(o, source->job->caption, out, why)
                   : reason_set(why, "no image has the id %.60s", shown);
    free(shown);
    if (rc) return -1;
    free(out->image);
    out->image = xstrdup(image->name);
    return 0;
}

static int parse(const text_source_t *source, text_item_t *item, reason_t *why) {
    cJSON *o = json_parse_data(item->text, item->len, why);
    if (!o) return -1;
    int rc = parse_annotation(source, o, &item->caption, why);
    cJSON_Delete(o);
    return rc;
}

static void release(text_source_t *source) {
    coco_images_t *images = source->images;
    for (size_t i = 0; i < images->n; i++) {
        free(images->image[i].id);
        free(images->image[i].name);
    }
    free(images->image);
    free(images);
}

const text_format_t text_coco = {.name = "coco",
                                 .what = "JSON (COCO's captions)",
                                 .begin = begin,
                                 .next = next,
                                 .counted = counted,
                                 .parse = parse,
                                 .release = release};
