/* image_source_episodes.c - the frames of recorded episodes as an image source.
 *
 * Frames are stored compressed by the episode, and training asks for them at random: episodes are
 * decoded whole on first use and kept, up to 1 GB, then the one unused for longest goes. HDF5 is
 * not thread-safe, so one lock for the process covers it; a kept frame is copied out under the
 * source's own lock.
 */
#include "common/io/episodes/episode_source.h"
#include "common/io/source/image_source_kind.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { KEY_MAX = 48 };
static const size_t keep_bytes = (size_t)1 << 30;

typedef struct {
    size_t number, first, count; /* its frames are items first .. first + count - 1 */
    uint8_t *frames;             /* NULL = not loaded */
    size_t h, w, c;
    uint64_t used;
    char *defect; /* why it cannot be loaded: found out once */
} episode_t;

typedef struct {
    episode_source_t *episodes;
    episode_t *episode;
    size_t n;
    char (*key)[KEY_MAX];
    pthread_mutex_t lock; /* of everything below and of the episodes' frames */
    size_t kept;
    uint64_t clock;
} dataset_t;

static pthread_mutex_t hdf5_lock = PTHREAD_MUTEX_INITIALIZER;

static const char *dataset_key(void *self, size_t i) {
    return ((const dataset_t *)self)->key[i];
}

static episode_t *episode_of(const dataset_t *d, size_t item) {
    size_t low = 0, high = d->n;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (d->episode[middle].first <= item)
            low = middle;
        else
            high = middle;
    }
    return &d->episode[low];
}

/* The same for every frame, and known before any is read. */
static uint64_t dataset_size(void *self, size_t i) {
    const dataset_t *d = self;
    int image = episode_source_find_image(d->episodes);
    return image < 0 ? 0 : episode_source_obs(d->episodes, (size_t)image)->count;
}

static size_t bytes_of(const episode_t *e) {
    return e->count * e->h * e->w * e->c;
}

static void make_room(dataset_t *d, const episode_t *keep) {
    while (d->kept > keep_bytes) {
        episode_t *oldest = NULL;
        for (size_t i = 0; i < d->n; i++) {
            episode_t *e = &d->episode[i];
            if (e->frames && e != keep && (!oldest || e->used < oldest->used)) oldest = e;
        }
        if (!oldest) return;
        d->kept -= bytes_of(oldest);
        free(oldest->frames);
        oldest->frames = NULL;
    }
}

static int load(dataset_t *d, episode_t *e, bool lenient, reason_t *why) {
    reason_t defect = {""};
    uint8_t *frames = NULL;
    size_t count;
    if (e->defect) return reason_set(why, "%s", e->defect);
    pthread_mutex_lock(&hdf5_lock);
    episode_source_lenient(d->episodes, lenient);
    int rc = episode_source_read_frames(d->episodes, e->number, &frames, &count, &e->h, &e->w,
                                        &e->c, &defect);
    pthread_mutex_unlock(&hdf5_lock);
    if (rc == 0 && count != e->count)
        rc = reason_set(&defect, "%zu frames, expected %zu", count, e->count);
    if (rc == 0 && e->c != 1 && e->c != 3) rc = reason_set(&defect, "frames of %zu channels", e->c);
    if (rc) {
        free(frames);
        e->defect = xstrdup(defect.text);
        return reason_set(why, "%s", e->defect);
    }
    e->frames = frames;
    d->kept += bytes_of(e);
    make_room(d, e);
    return 0;
}

static image_t frame(const episode_t *e, size_t step) {
    image_t out = image_new(e->w, e->h);
    size_t n = e->w * e->h;
    const uint8_t *from = e->frames + step * n * e->c;
    if (e->c == 3) {
        memcpy(out.rgb, from, 3 * n);
        return out;
    }
    for (size_t i = 0; i < n; i++) memset(out.rgb + 3 * i, from[i], 3);
    return out;
}

static image_status_t dataset_read(void *self, size_t i, image_t *out, const image_opts_t *o,
                                   reason_t *why) {
    dataset_t *d = self;
    episode_t *e = episode_of(d, i);
    pthread_mutex_lock(&d->lock);
    int rc = e->frames ? 0 : load(d, e, o && o->lenient, why);
    if (rc == 0) {
        e->used = ++d->clock;
        *out = frame(e, i - e->first);
    }
    pthread_mutex_unlock(&d->lock);
    return rc ? IMAGE_BAD : IMAGE_OK;
}

static void dataset_close(void *self) {
    dataset_t *d = self;
    for (size_t i = 0; i < d->n; i++) {
        free(d->episode[i].frames);
        free(d->episode[i].defect);
    }
    pthread_mutex_lock(&hdf5_lock);
    episode_source_close(d->episodes);
    pthread_mutex_unlock(&hdf5_lock);
    pthread_mutex_destroy(&d->lock);
    free(d->episode);
    free(d->key);
    free(d);
}

/* Lists the episodes by their attributes. One that cannot be read is an item all the same: reading
 * it gives the reason, and it counts as any bad item. */
static size_t list_episodes(image_source_t *s, dataset_t *d) {
    size_t all = episode_source_count(d->episodes), items = 0;
    reason_t why;
    d->episode = xcalloc(all + 1, sizeof *d->episode);
    for (size_t i = 0; i < all; i++) {
        size_t steps;
        if (episode_source_steps(d->episodes, i, &steps, &why)) {
            s->counts.no_episodes++;
            d->episode[d->n++] =
                (episode_t){.number = i, .first = items++, .count = 1, .defect = xstrdup(why.text)};
            continue;
        }
        d->episode[d->n++] = (episode_t){.number = i, .first = items, .count = steps + 1};
        items += steps + 1;
    }
    return items;
}

static void name_items(dataset_t *d, size_t items) {
    d->key = xmalloc(items * sizeof *d->key);
    for (size_t i = 0; i < d->n; i++) {
        const episode_t *e = &d->episode[i];
        for (size_t k = 0; k < e->count; k++)
            snprintf(d->key[e->first + k], sizeof *d->key, "episode_%zu/%zu", e->number, k);
    }
}

static bool probe(const char *spec) {
    char *file = episode_source_frames_file(spec);
    free(file);
    return file != NULL;
}

/* Two recordings may have the same numbers of steps: the file's size tells them apart in the
 * manifest. */
static uint64_t file_size(const char *spec) {
    struct stat st = {0};
    char *file = episode_source_frames_file(spec);
    if (file && stat(file, &st) != 0) st.st_size = 0;
    free(file);
    return (uint64_t)st.st_size;
}

/* Under hdf5_lock. */
static int open_dataset(image_source_t *s, dataset_t *d, int *rc, reason_t *why) {
    d->episodes = episode_source_open(s->spec, rc, why);
    if (!d->episodes) return -1;
    if (!dataset_size(d, 0))
        return reason_set(why, "the dataset '%s' has no images among its observations", s->spec);
    s->count = list_episodes(s, d);
    return 0;
}

static int dataset_open(image_source_t *s, int *rc, reason_t *why) {
    dataset_t *d = NEW(dataset_t);
    s->self = d;
    pthread_mutex_init(&d->lock, NULL);
    pthread_mutex_lock(&hdf5_lock);
    int failed = open_dataset(s, d, rc, why);
    pthread_mutex_unlock(&hdf5_lock);
    if (failed) return -1;
    name_items(d, s->count);
    s->counts.episodes = d->n - s->counts.no_episodes;
    s->counts.images = s->count - s->counts.no_episodes;
    s->stamp = file_size(s->spec);
    return 0;
}

const image_source_kind_t image_source_episodes = {
    .needs = "a Minari dataset folder",
    .probe = probe,
    .open = dataset_open,
    .close = dataset_close,
    .key = dataset_key,
    .size = dataset_size,
    .read = dataset_read,
    .episodes = true,
};
