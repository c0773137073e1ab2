/* Reading and writing safetensors files, and the memory that a request takes.

   The parser is strict and small: it knows the JSON that a safetensors header consists of, without escape sequences,
   which the protocol rules out. A request that is not such a file is the fault of whoever sent it, not of an argument:
   the process says so on stderr and ends with code 2. */

#include "vae.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Block {
    struct Block *next;
    void *memory;
} Block;

static Block *blocks;

void *take(size_t count, size_t size)
{
    Block *block = malloc(sizeof *block);
    void *memory = calloc(count ? count : 1, size); /* refuses a product that overflows */
    if (!block || !memory) {
        fprintf(stderr, "out of memory: %lu elements of %lu bytes\n", (unsigned long)count, (unsigned long)size);
        exit(1);
    }
    block->memory = memory;
    block->next = blocks;
    blocks = block;
    return memory;
}

void release(void)
{
    while (blocks) {
        Block *block = blocks;
        blocks = block->next;
        free(block->memory);
        free(block);
    }
}

void broken(const char *path, const char *why, const char *detail)
{
    fprintf(stderr, "%s: %s%s\n", path, why, detail);
    exit(2);
}

/* --- the header's JSON --- */

typedef struct {
    const char *at, *end, *path;
} Cursor;

static void malformed(const Cursor *cursor, const char *expected)
{
    broken(cursor->path, "malformed safetensors header: expected ", expected);
}

static void skip_spaces(Cursor *cursor)
{
    while (cursor->at < cursor->end && strchr(" \t\r\n", *cursor->at) && *cursor->at)
        cursor->at++;
}

/* Whether the next character is `wanted`, which is then consumed. */
static int next_is(Cursor *cursor, char wanted)
{
    skip_spaces(cursor);
    if (cursor->at == cursor->end || *cursor->at != wanted)
        return 0;
    cursor->at++;
    return 1;
}

static void expect(Cursor *cursor, char wanted)
{
    char text[2] = {wanted, 0};
    if (!next_is(cursor, wanted))
        malformed(cursor, text);
}

static const char *parse_string(Cursor *cursor)
{
    const char *start;
    char *copy;
    expect(cursor, '"');
    for (start = cursor->at; cursor->at < cursor->end && *cursor->at != '"'; cursor->at++)
        if (*cursor->at < 0x20 || *cursor->at > 0x7e || *cursor->at == '\\')
            malformed(cursor, "a string of printable ASCII without escapes");
    copy = take((size_t)(cursor->at - start) + 1, 1);
    memcpy(copy, start, (size_t)(cursor->at - start));
    expect(cursor, '"');
    return copy;
}

static size_t parse_number(Cursor *cursor)
{
    size_t value = 0;
    const char *start;
    skip_spaces(cursor);
    for (start = cursor->at; cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9'; cursor->at++) {
        size_t digit = (size_t)(*cursor->at - '0');
        if (value > (SIZE_MAX - digit) / 10)
            malformed(cursor, "a smaller number");
        value = value * 10 + digit;
    }
    if (cursor->at == start)
        malformed(cursor, "a whole number");
    return value;
}

/* Numbers in brackets, at most `room` of them; returns how many. */
static int parse_numbers(Cursor *cursor, size_t *numbers, int room)
{
    int count = 0;
    expect(cursor, '[');
    if (next_is(cursor, ']'))
        return 0;
    do {
        if (count == room)
            malformed(cursor, "fewer numbers in brackets");
        numbers[count++] = parse_number(cursor);
    } while (next_is(cursor, ','));
    expect(cursor, ']');
    return count;
}

static size_t width_of(const Cursor *cursor, const char *dtype)
{
    static const struct {
        const char *dtype;
        size_t width;
    } known[] = {{"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"U16", 2}, {"I16", 2}, {"F16", 2},
                 {"U32", 4},  {"I32", 4}, {"F32", 4}, {"U64", 8}, {"I64", 8}, {"F64", 8}};
    size_t i;
    for (i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(dtype, known[i].dtype))
            return known[i].width;
    malformed(cursor, "a known dtype");
    return 0;
}

static void parse_tensor(Cursor *cursor, Tensor *tensor, const unsigned char *data, size_t length)
{
    size_t offsets[2] = {0, 0}, bytes;
    int has_shape = 0, has_offsets = 0, i;
    expect(cursor, '{');
    do {
        const char *key = parse_string(cursor);
        expect(cursor, ':');
        if (!strcmp(key, "dtype") && !tensor->dtype) {
            tensor->dtype = parse_string(cursor);
        } else if (!strcmp(key, "shape") && !has_shape) {
            tensor->rank = parse_numbers(cursor, tensor->shape, MAX_RANK);
            has_shape = 1;
        } else if (!strcmp(key, "data_offsets") && !has_offsets) {
            has_offsets = parse_numbers(cursor, offsets, 2) == 2;
        } else {
            malformed(cursor, "dtype, shape and data_offsets, once each");
        }
    } while (next_is(cursor, ','));
    expect(cursor, '}');
    if (!tensor->dtype || !has_shape || !has_offsets)
        malformed(cursor, "dtype, shape and two data_offsets");
    bytes = tensor->width = width_of(cursor, tensor->dtype);
    for (i = 0; i < tensor->rank; i++) {
        if (tensor->shape[i] && bytes > SIZE_MAX / tensor->shape[i])
            malformed(cursor, "a smaller shape");
        bytes *= tensor->shape[i];
    }
    if (offsets[0] > offsets[1] || offsets[1] > length || offsets[1] - offsets[0] != bytes)
        malformed(cursor, "data_offsets within the file, as far apart as the shape says");
    tensor->count = bytes / tensor->width;
    tensor->data = data + offsets[0];
}

static void parse_metadata(Cursor *cursor, Request *request)
{
    expect(cursor, '{');
    if (next_is(cursor, '}'))
        return;
    do {
        Entry *entry = &request->metadata[request->entry_count];
        if (request->entry_count++ == MAX_METADATA)
            malformed(cursor, "fewer metadata");
        entry->key = parse_string(cursor);
        expect(cursor, ':');
        entry->value = parse_string(cursor);
    } while (next_is(cursor, ','));
    expect(cursor, '}');
}

static void parse_header(Cursor *cursor, Request *request, const unsigned char *data, size_t length)
{
    size_t i;
    expect(cursor, '{');
    if (!next_is(cursor, '}')) {
        do {
            const char *name = parse_string(cursor);
            expect(cursor, ':');
            if (!strcmp(name, "__metadata__")) {
                parse_metadata(cursor, request);
                continue;
            }
            for (i = 0; i < request->tensor_count; i++)
                if (!strcmp(name, request->tensors[i].name))
                    malformed(cursor, "each name once");
            if (request->tensor_count == MAX_TENSORS)
                malformed(cursor, "fewer tensors");
            request->tensors[request->tensor_count].name = name;
            parse_tensor(cursor, &request->tensors[request->tensor_count++], data, length);
        } while (next_is(cursor, ','));
        expect(cursor, '}');
    }
    skip_spaces(cursor);
    if (cursor->at != cursor->end)
        malformed(cursor, "nothing after the object");
}

/* --- files --- */

static unsigned char *read_all(const char *path, size_t *size)
{
    unsigned char *bytes;
    long length = -1;
    FILE *file = fopen(path, "rb");
    if (!file)
        broken(path, "cannot be opened", "");
    if (!fseek(file, 0, SEEK_END))
        length = ftell(file);
    if (length < 0 || fseek(file, 0, SEEK_SET))
        broken(path, "cannot be read", "");
    *size = (size_t)length;
    bytes = take(*size, 1);
    if (fread(bytes, 1, *size, file) != *size)
        broken(path, "cannot be read", "");
    fclose(file);
    return bytes;
}

static uint64_t little_endian(const unsigned char *bytes, size_t width)
{
    uint64_t value = 0;
    while (width-- > 0)
        value = value << 8 | bytes[width];
    return value;
}

void read_request(const char *path, Request *request)
{
    size_t size, length;
    const unsigned char *bytes = read_all(path, &size);
    Cursor cursor;
    if (size < 8 || little_endian(bytes, 8) > size - 8)
        broken(path, "not a safetensors file: the header is longer than the file", "");
    length = (size_t)little_endian(bytes, 8);
    cursor.at = (const char *)bytes + 8;
    cursor.end = cursor.at + length;
    cursor.path = path;
    memset(request, 0, sizeof *request);
    parse_header(&cursor, request, bytes + 8 + length, size - 8 - length);
}

double number_at(const Tensor *tensor, size_t index)
{
    uint64_t wide = little_endian(tensor->data + index * tensor->width, tensor->width);
    uint32_t narrow = (uint32_t)wide;
    double as_double;
    float as_float;
    memcpy(&as_double, &wide, sizeof as_double);
    memcpy(&as_float, &narrow, sizeof as_float);
    return tensor->width == 4 ? (double)as_float : as_double;
}

int64_t integer_at(const Tensor *tensor, size_t index)
{
    uint64_t bits = little_endian(tensor->data + index * 8, 8);
    int64_t value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double rounded(double value, int narrow)
{
    if (!narrow)
        return value;
    if (fabs(value) >= 0x1.ffffffp127) /* half a unit above FLT_MAX: C leaves the conversion undefined from there on */
        return copysign(INFINITY, value);
    return (double)(float)value;
}

static void put(FILE *file, uint64_t bits, size_t width)
{
    for (; width > 0; width--, bits >>= 8)
        fputc((int)(bits & 0xff), file);
}

static void put_string(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', file);
        fputc(*text, file);
    }
    fputc('"', file);
}

static size_t put_entry(FILE *file, const Result *result, size_t offset, int narrow)
{
    size_t count = 1;
    int i;
    put_string(file, result->name);
    fprintf(file, ":{\"dtype\":\"%s\",\"shape\":[", !result->values ? "I64" : narrow ? "F32" : "F64");
    for (i = 0; i < result->rank; i++) {
        fprintf(file, "%s%lu", i ? "," : "", (unsigned long)result->shape[i]);
        count *= result->shape[i];
    }
    count *= result->values && narrow ? 4 : 8;
    fprintf(file, "],\"data_offsets\":[%lu,%lu]}", (unsigned long)offset, (unsigned long)(offset + count));
    return offset + count;
}

static void put_data(FILE *file, const Result *result, int narrow)
{
    size_t count = 1, i;
    uint64_t bits;
    for (i = 0; i < (size_t)result->rank; i++)
        count *= result->shape[i];
    for (i = 0; i < count; i++) {
        if (!result->values) {
            memcpy(&bits, &result->integer, 8);
            put(file, bits, 8);
        } else if (narrow) {
            float value = (float)rounded(result->values[i], 1);
            uint32_t small;
            memcpy(&small, &value, 4);
            put(file, small, 4);
        } else {
            memcpy(&bits, &result->values[i], 8);
            put(file, bits, 8);
        }
    }
}

void write_response(const char *path, const Response *response)
{
    size_t i, offset = 0;
    long end;
    int failed;
    FILE *file = fopen(path, "wb");
    if (!file)
        broken(path, "cannot be written", "");
    put(file, 0, 8); /* the header's length, when it is known */
    fputs("{\"__metadata__\":{", file);
    for (i = 0; i < response->entry_count; i++) {
        fputs(i ? "," : "", file);
        put_string(file, response->metadata[i].key);
        fputc(':', file);
        put_string(file, response->metadata[i].value);
    }
    fputc('}', file);
    for (i = 0; i < response->result_count; i++) {
        fputc(',', file);
        offset = put_entry(file, &response->results[i], offset, response->narrow);
    }
    fputc('}', file);
    for (end = ftell(file); end % 8; end++)
        fputc(' ', file); /* data start at a multiple of 8 */
    for (i = 0; i < response->result_count; i++)
        put_data(file, &response->results[i], response->narrow);
    if (fseek(file, 0, SEEK_SET))
        broken(path, "cannot be written", "");
    put(file, (uint64_t)end - 8, 8);
    failed = ferror(file);
    if (fclose(file) || failed)
        broken(path, "cannot be written", "");
}
