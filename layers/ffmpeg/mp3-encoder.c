/* Encode 16-bit PCM into an MP3 file of constant bit rate:

       mp3-encoder RATE CHANNELS KBITS FILE < pcm

   RATE: Hz. CHANNELS: 1 or 2, interleaved, little-endian. KBITS: kbit/s in all. Exit status 0: all of the input is in
   the file. 1: it is not, and a line on stderr says why.

   ffmpeg makes the same file, to the byte, with -flags:a +bitexact: the same calls of LAME (libavcodec/libmp3lame.c),
   and the same tag and Info frame (libavformat/mp3enc.c). But it hands every 26 ms of sound from thread to thread five
   times, and that costs a tenth of what encoding does. */

#include <errno.h>
#include <fcntl.h>
#include <lame/lame.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    INPUT_BYTES = 1 << 16,  /* what a pipe holds */
    OUTPUT_BYTES = 1 << 17, /* LAME asks for 1.25 bytes a sample and 7200 more */
    TAG_BYTES = 156,        /* of the Xing header with LAME's extension */
    MOST_NOTED = 400,       /* sizes, from which the seek table is made */
};

static const int KBITS[2][15] = {
    {0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},     /* MPEG-2 */
    {0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320}, /* MPEG-1 */
};
static const int MPEG1_RATES[3] = {44100, 48000, 32000};
static const unsigned char EMPTY_ID3[20] = {'I', 'D', '3', 4, 0, 0, 0, 0, 0, 10};

static int rate, channels, kbits;
static int samples_per_frame;
static int file;

static int frames;          /* in the file, behind the Info frame */
static uint64_t samples;    /* per channel, encoded */
static uint64_t file_bytes; /* without the ID3 tag */
static unsigned crc;        /* of the frames */
static uint64_t noted[MOST_NOTED];
static int noted_count, note_every = 1;

static unsigned char info[1500]; /* an MPEG frame is smaller */
static int info_bytes, tag_at;

static void fail(const char *what) {
    fprintf(stderr, "mp3-encoder: %s\n", what);
    exit(1);
}

static void write_all(const unsigned char *data, size_t size) {
    while (size) {
        ssize_t written = write(file, data, size);
        if (written < 0 && errno != EINTR)
            fail(strerror(errno));
        if (written > 0) {
            data += written;
            size -= (size_t)written;
        }
    }
}

/* The lowest bytes of a number, the highest of them first. */
static void put(unsigned char *at, uint64_t value, int bytes) {
    while (bytes--) {
        at[bytes] = value & 0xFF;
        value >>= 8;
    }
}

/* CRC-16 with the polynomial x^16 + x^15 + x^2 + 1, the lowest bit first. */
static unsigned crc16(unsigned so_far, const unsigned char *data, size_t size) {
    static unsigned table[256];
    if (!table[1])
        for (unsigned byte = 0; byte < 256; byte++) {
            table[byte] = byte;
            for (int bit = 0; bit < 8; bit++)
                table[byte] = table[byte] >> 1 ^ (table[byte] & 1 ? 0xA001 : 0);
        }
    while (size--)
        so_far = so_far >> 8 ^ table[(so_far ^ *data++) & 0xFF];
    return so_far;
}

static int frame_bytes(int frame_kbits) {
    return samples_per_frame * 125 * frame_kbits / rate;
}

/* The Info frame as it is before anything is encoded: of the stream's bit rate, or the next one that has room. */
static void begin_info(void) {
    int mpeg1 = rate >= 32000, rate_index = 0, kbits_index = 1;
    while (rate_index < 3 && MPEG1_RATES[rate_index] != rate * (mpeg1 ? 1 : 2))
        rate_index++;
    while (kbits_index < 15 && KBITS[mpeg1][kbits_index] != kbits)
        kbits_index++;
    if (rate_index == 3 || kbits_index == 15)
        fail("MP3 has no such sample rate or bit rate");
    tag_at = 4 + (mpeg1 ? (channels == 1 ? 17 : 32) : (channels == 1 ? 9 : 17));
    while (frame_bytes(KBITS[mpeg1][kbits_index]) < tag_at + TAG_BYTES)
        if (++kbits_index == 15)
            fail("no frame has room for the Info header");
    info_bytes = frame_bytes(KBITS[mpeg1][kbits_index]);
    put(info, 0xFFF30000u | mpeg1 << 19 | kbits_index << 12 | rate_index << 10 | (channels == 1 ? 3 : 0) << 6, 4);
    memcpy(info + tag_at, "Info", 4);
    put(info + tag_at + 4, 0xF, 4); /* there are: frames, bytes, seek table, quality */
    memcpy(info + tag_at + 120, "Lavf lame", 9);
    file_bytes = info_bytes;
}

static void finish_info(int delay) {
    int64_t padding = (int64_t)frames * samples_per_frame - delay - (int64_t)samples;
    if (padding > samples_per_frame + 529)
        padding = samples_per_frame + 529;
    if (padding < 0)
        fail("LAME made too few frames");
    unsigned char *tag = info + tag_at;
    put(tag + 8, frames, 4);
    put(tag + 12, file_bytes, 4);
    for (int part = 1; part < 100; part++) {
        uint64_t place = 256 * noted[part * noted_count / 100] / file_bytes;
        put(tag + 16 + part, place < 255 ? place : 255, 1);
    }
    put(tag + 141, delay << 12 | padding, 3);
    put(tag + 148, file_bytes, 4);
    put(tag + 152, crc, 2);
    put(tag + 154, crc16(0, info, 190), 2);
}

/* Note the file's size after every frame; of so many sizes, only every second, fourth, eighth ... */
static void count_frame(const unsigned char *frame, int size) {
    crc = crc16(crc, frame, size);
    file_bytes += size;
    if (++frames % note_every)
        return;
    noted[noted_count++] = file_bytes;
    if (noted_count == MOST_NOTED) {
        for (int index = 1; index < MOST_NOTED; index += 2)
            noted[index / 2] = noted[index];
        noted_count /= 2;
        note_every *= 2;
    }
}

static unsigned char output[OUTPUT_BYTES];
static int output_bytes;

/* Write what LAME has added to `output`, as far as it is whole frames. */
static void write_frames(int added) {
    if (added < 0)
        fail("LAME cannot encode this");
    output_bytes += added;
    int end = 0;
    while (output_bytes - end >= 4) {
        const unsigned char *frame = output + end;
        int size = frame_bytes(kbits) + (frame[2] >> 1 & 1);
        if (frame[0] != 0xFF)
            fail("LAME made something else than a frame");
        if (size > output_bytes - end)
            break;
        count_frame(frame, size);
        end += size;
    }
    write_all(output, end);
    output_bytes -= end;
    memmove(output, output + end, output_bytes);
}

static lame_t start_lame(void) {
    lame_t lame = lame_init();
    if (!lame)
        fail("no memory");
    lame_set_num_channels(lame, channels);
    lame_set_mode(lame, channels == 2 ? JOINT_STEREO : MONO);
    lame_set_in_samplerate(lame, rate);
    lame_set_out_samplerate(lame, rate);
    lame_set_brate(lame, kbits);
    lame_set_bWriteVbrTag(lame, 0);
    lame_set_original(lame, 1);
    if (lame_init_params(lame) < 0)
        fail("LAME refuses these parameters");
    return lame;
}

int main(int argc, char **argv) {
    if (argc != 5)
        fail("usage: mp3-encoder RATE CHANNELS KBITS FILE < pcm");
    rate = atoi(argv[1]);
    channels = atoi(argv[2]);
    kbits = atoi(argv[3]);
    if (rate <= 0 || (channels != 1 && channels != 2))
        fail("RATE is to be positive, and CHANNELS 1 or 2");
    samples_per_frame = rate >= 32000 ? 1152 : 576;
    begin_info();
    lame_t lame = start_lame();
    if ((file = open(argv[4], O_WRONLY | O_CREAT | O_TRUNC, 0666)) < 0)
        fail(strerror(errno));
    write_all(EMPTY_ID3, sizeof EMPTY_ID3);
    write_all(info, info_bytes);

    static union {
        char bytes[INPUT_BYTES];
        short samples[INPUT_BYTES / 2];
    } input;
    int have = 0, width = 2 * channels;
    for (;;) {
        ssize_t got = read(STDIN_FILENO, input.bytes + have, INPUT_BYTES - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            fail(strerror(errno));
        if (got == 0)
            break;
        have += (int)got;
        int count = have / width, room = OUTPUT_BYTES - output_bytes;
        write_frames(
            channels == 2 ? lame_encode_buffer_interleaved(lame, input.samples, count, output + output_bytes, room)
                          : lame_encode_buffer(lame, input.samples, NULL, count, output + output_bytes, room));
        samples += count;
        have -= count * width;
        memmove(input.bytes, input.bytes + count * width, have);
    }
    if (have || !samples)
        fail("the input ends within a sample, or is empty");
    write_frames(lame_encode_flush(lame, output + output_bytes, OUTPUT_BYTES - output_bytes));
    if (output_bytes)
        fail("LAME ended within a frame");
    finish_info(lame_get_encoder_delay(lame));
    if (lseek(file, sizeof EMPTY_ID3, SEEK_SET) < 0)
        fail(strerror(errno));
    write_all(info, info_bytes);
    if (close(file))
        fail(strerror(errno));
    return 0;
}
