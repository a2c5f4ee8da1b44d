/* test_source_open.c - opening what is no source: a NULL, a reason and an exit code, and the caller
 * lives on. What is a source is opened as its kind, whatever its name says.
 */
#include "common/io/episodes/episode_source.h"
#include "common/io/source/image_source.h"
#include "tests/folder.h"
#include "tests/test.h"

#include <sys/stat.h>

static void put(const char *name, const void *bytes, size_t size) {
    FILE *f = fopen(in_folder(name), "wb");
    REQUIRE(f && fwrite(bytes, 1, size, f) == size && fclose(f) == 0);
}

static void images_refuse(const char *path, int code, const char *says) {
    int rc = -1;
    reason_t why = {""};
    CHECK(!image_source_open(path, &rc, &why), "'%s' was opened", path);
    CHECK(rc == code, "'%s': code %d", path, rc);
    CHECK(strstr(why.text, says), "'%s': '%s' does not say '%s'", path, why.text, says);
}

static void episodes_refuse(const char *path, int code, const char *says) {
    int rc = -1;
    reason_t why = {""};
    CHECK(!episode_source_open(path, &rc, &why), "'%s' was opened", path);
    CHECK(rc == code, "'%s': code %d", path, rc);
    CHECK(strstr(why.text, says), "'%s': '%s' does not say '%s'", path, why.text, says);
}

TEST(no_source_of_images) {
    static const char zeros[1024];
    folder_open();
    put("text", "words", 5);
    put("empty.tar", zeros, sizeof zeros);
    mkdir(in_folder("nothing"), 0777);
    mkdir(in_folder("tars"), 0777);
    put("tars/a.tar", zeros, sizeof zeros);
    images_refuse(in_folder("absent"), RC_USAGE, "absent': No such file or directory");
    images_refuse(
        in_folder("text"), RC_USAGE,
        "is a file; a folder of images, a WebDataset tar or a Minari dataset folder is needed");
    images_refuse("-", RC_USAGE, "stdin can only be read by 'tokenize images'");
    images_refuse(in_folder("a{1..2}.tar"), RC_USAGE, "a1.tar': No such file or directory");
    images_refuse(in_folder("nothing"), RC_DATA, "0 other files");
    images_refuse(in_folder("tars"), RC_DATA, "but 1 tar: give it by name");
#ifdef WITH_LIBARCHIVE
    images_refuse(in_folder("empty.tar"), RC_DATA, "0 samples without one image, 0 damaged");
#endif
    folder_remove();
}

TEST(no_source_of_episodes) {
    folder_open();
    put("text", "words", 5);
    put("short", "\x89HDF", 4);
    mkdir(in_folder("nothing"), 0777);
    episodes_refuse(in_folder("absent"), RC_USAGE,
                    "absent' is no Minari dataset: no main_data.hdf5 in it or in its data folder");
    episodes_refuse(in_folder("nothing"), RC_USAGE, "nothing' is no Minari dataset");
    episodes_refuse(in_folder("text"), RC_USAGE,
                    "text' is neither a Minari dataset folder nor an HDF5 file");
    episodes_refuse(in_folder("short"), RC_USAGE, "neither a Minari dataset folder nor an HDF5");
    folder_remove();
}

/* What is found but broken says so, as the format that it was found to be. */
TEST(broken_episodes) {
    folder_open();
    mkdir(in_folder("set"), 0777);
    put("set/metadata.json", "{", 1);
    put("set/main_data.hdf5", "x", 1);
    put("flat.png", "\x89HDF\r\n\x1A\n", 8);
#ifdef WITH_HDF5
    episodes_refuse(in_folder("set"), RC_DATA, "metadata.json:");
    episodes_refuse(in_folder("flat.png"), RC_DATA, "flat.png: ");
    images_refuse(in_folder("set"), RC_DATA, "metadata.json:");
#else
    episodes_refuse(in_folder("set"), RC_RUNTIME, "built without HDF5");
    episodes_refuse(in_folder("flat.png"), RC_RUNTIME, "built without HDF5");
    images_refuse(in_folder("set"), RC_RUNTIME, "built without HDF5");
#endif
    char *file = episode_source_frames_file(in_folder("set"));
    CHECK(file && !strcmp(file, in_folder("set/main_data.hdf5")), "'%s'", file ? file : "(none)");
    free(file);
    CHECK(!episode_source_frames_file(in_folder("flat.png")));
    folder_remove();
}

/* A folder with metadata.json and images is a folder of images, one with data/main_data.hdf5 a
 * dataset. */
TEST(a_folder_of_images_with_metadata) {
    int rc;
    reason_t why;
    folder_open();
    image_t im = image_new(2, 2);
    memset(im.rgb, 7, 12);
    REQUIRE(!image_write_png(&im, in_folder("a.png"), &why), "%s", why.text);
    image_release(&im);
    put("metadata.json", "{}", 2);
    image_source_t *s = image_source_open(folder, &rc, &why);
    REQUIRE(s, "%s", why.text);
    CHECK(image_source_count(s) == 1 && !image_source_is_episodes(s));
    CHECK(image_source_counts(s)->images == 1 && image_source_counts(s)->other_files == 1);
    image_source_close(s);
    folder_remove();
}
