/* example_token_db.c - the use that token_db.h opens with. */
#include "common/io/token_db/token_db.h"
#include "tests/folder.h"
#include "tests/test.h"

#include <unistd.h>

TEST(write_and_read) {
    folder_open();
    REQUIRE(chdir(in_folder(".")) == 0);
    /* use of common/io/token_db/token_db.h */
    int rc; // the program's exit code
    reason_t why;
    task_t task = task_new("image", RECORD_IMAGE);
    task_add(&task, SLOT_IMAGE, SIDE_OBSERVED, "image", 1);
    shard_meta_t meta = {.arguments = "{}", .codes = 512, .tasks = {&task, 1}};
    token_db_t *db = token_db_create("x.lmdb", &meta, 0, &rc, &why);
    if (!db) die(rc, "%s", why.text);
    token_record_t image = {.task = 0, .T = 1, .key = "a.png", .key_len = 5};
    image.slot[0] = (slot_data_t){.grid_h = 1, .grid_w = 2, .codes = (uint32_t[]){7, 511}};
    if (token_db_put(db, &image, &why)) die(RC_RUNTIME, "%s", why.text);
    if (token_db_commit(db, &why)) die(RC_RUNTIME, "%s", why.text);
    token_db_close(db);

    token_record_t r;
    db = token_db_open("x.lmdb", &rc, &why);
    if (!db || token_db_get(db, 0, &r, &why)) die(RC_DATA, "%s", why.text);
    uint32_t second = r.slot[0].codes[1];
    token_record_release(&r);
    token_db_close(db);
    /* end of use */
    CHECK(second == 511, "%u", second);
    CHECK(meta.records == 1);
    task_release(&task);
    folder_remove();
}
