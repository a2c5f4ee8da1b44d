/* example_images.c - the use that image_source.h opens with. */
#include "common/io/source/image_source.h"
#include "tests/folder.h"
#include "tests/test.h"

TEST(pixels_of_a_folder) {
    int rc;
    reason_t why;
    size_t pixels = 0;
    folder_open();
    const char *path = folder;
    for (size_t i = 0; i < 2; i++) {
        image_t im = image_new(3 + i, 5);
        memset(im.rgb, 0, 3 * im.w * im.h);
        REQUIRE(!image_write_png(&im, in_folder(i ? "a.png" : "b.png"), &why), "%s", why.text);
        image_release(&im);
    }
    /* use of common/io/source/image_source.h */
    image_source_t *source = image_source_open(path, &rc, &why);
    for (size_t i = 0; source && i < image_source_count(source); i++) {
        image_t image;
        if (image_source_read(source, i, &image, NULL, &why)) continue; // why says what is wrong
        pixels += image.w * image.h;
        image_release(&image);
    }
    image_source_close(source);
    /* end of use */
    CHECK(pixels == 3 * 5 + 4 * 5, "%zu pixels", pixels);
    folder_remove();
}
