/* example_safetensors.c - the use that safetensors.h opens with. */
#include "common/io/safetensors/safetensors.h"
#include "tests/folder.h"
#include "tests/test.h"

#include <unistd.h>

TEST(write_and_read) {
    folder_open();
    REQUIRE(chdir(in_folder(".")) == 0);
    /* use of common/io/safetensors/safetensors.h */
    reason_t why;
    const float w[2] = {1, 2};
    st_writer_t *writer = st_writer_new();
    st_writer_add(writer, "w", ST_F32, 1, (uint64_t[]){2}, w); // borrowed until it is written
    if (st_write(writer, "x.safetensors", &why)) die(RC_RUNTIME, "%s", why.text);
    st_writer_free(writer);

    st_file_t file;
    float back[2];
    if (st_open(&file, "x.safetensors", &why)) die(RC_DATA, "%s", why.text);
    const st_tensor_t *tensor = st_find(&file, "w"); // NULL: the file has no such tensor
    if (st_read_f32(tensor, back, &why)) die(RC_DATA, "%s", why.text);
    st_close(&file);
    /* end of use */
    CHECK(back[0] == 1 && back[1] == 2);
    folder_remove();
}
