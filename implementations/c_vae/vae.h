/* The classic VAE in C99 and libm alone: it answers the requests of conformance/PROTOCOL.md.

   files.c reads requests and writes responses, input.c checks arguments, vae.c is the model, main.c the operations.

   Build: make */

#ifndef VAE_H
#define VAE_H

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_RANK = 8, MAX_TENSORS = 64, MAX_METADATA = 32 };

/* A tensor of a request: its data lie in the file as it was read, little-endian and not aligned. */
typedef struct {
    const char *name, *dtype; /* dtype as safetensors spells it: F32, I64, ... */
    int rank;
    size_t shape[MAX_RANK];
    size_t count, width; /* elements, and bytes of each */
    const unsigned char *data;
    int used; /* whether the operation has asked for it */
} Tensor;

typedef struct {
    const char *key, *value;
} Entry;

typedef struct {
    Tensor tensors[MAX_TENSORS];
    Entry metadata[MAX_METADATA];
    size_t tensor_count, entry_count;
} Request;

/* A tensor of a response: doubles, written as F32 or F64; or, where `values` is NULL, one I64 of shape []. */
typedef struct {
    const char *name;
    int rank;
    size_t shape[2];
    const double *values;
    int64_t integer;
} Result;

typedef struct {
    Result results[MAX_TENSORS];
    Entry metadata[MAX_METADATA];
    size_t result_count, entry_count;
    int narrow; /* whether floating-point results are float32 */
} Response;

/* files.c */
void *take(size_t count, size_t size);         /* zeroed memory, which lasts until the request is answered */
void release(void);                            /* ends all that was taken */
void broken(const char *path, const char *why, const char *detail); /* says so on stderr and ends the process, code 2 */
void read_request(const char *path, Request *request);
void write_response(const char *path, const Response *response);
double number_at(const Tensor *tensor, size_t index);   /* of an F32 or F64 tensor */
int64_t integer_at(const Tensor *tensor, size_t index); /* of an I64 tensor */
double rounded(double value, int narrow);               /* to float32 where `narrow`; what overflows is infinity */

/* vae.c. Symbols: B images, D pixels, H hidden units, L latents, K steps. */
enum { W1, B1, W_MU, B_MU, W_LOGVAR, B_LOGVAR, W3, B3, W4, B4, PARAMETERS };

extern const char *const PARAMETER_NAMES[PARAMETERS];

typedef struct {
    size_t D, H, L;
    double *tensors[PARAMETERS]; /* weights (out, in), biases (out,) */
} Model;

typedef struct {
    Model model;
    double *m[PARAMETERS], *v[PARAMETERS]; /* Adam's moments */
    int64_t step;                          /* taken so far, at most MAX_STEP in a request */
} State;

enum { MAX_STEP = 1 << 30 };

/* Every tensor of the forward pass of one image. */
typedef struct {
    double *hidden, *mu, *logvar, *std, *z, *hidden3, *logits; /* (H,), (L,), (L,), (L,), (L,), (H,), (D,) */
} Row;

void shape_of(const Model *model, int parameter, size_t shape[2], int *rank);
size_t size_of(const Model *model, int parameter);
Row new_row(const Model *model);
void encode(const Model *model, const double *x, Row *row);
void reparameterize(const double *noise, size_t latents, Row *row);
void decode(const Model *model, Row *row);
void forward(const Model *model, const double *x, const double *noise, Row *row);
void losses(const Model *model, const double *x, const Row *row, double *reconstruction, double *kl);
/* Adds one image's gradients of the objective; `slopes` is room for those of the row's tensors. */
void add_gradients(const Model *model, const double *x, const double *noise, const Row *row, Row *slopes,
                   double *const *gradients);
void adam_step(State *state, double *const *gradients, int narrow);

/* input.c */
extern Request the_request;   /* the one that is being answered */
extern Response the_response; /* its answer */
extern jmp_buf refusal;       /* where `refuse` goes */

void say(const char *key, const char *value); /* a metadata entry of the response */
void answer(const char *name, const double *values, size_t rows, size_t columns); /* (rows,) where columns is 0 */
void answer_parameters(const Model *model, double *const *tensors, const char *prefix);
void answer_state(const State *state);
void refuse(const char *kind, const char *format, ...); /* does not return; kind is "value" or "type" */

const char *metadata(const char *key);
Model read_model(const char *argument); /* `argument` is what messages call the parameters */
State read_state(const char *argument);
double *floats(const char *label, const char *name, size_t *shape, int rank); /* a length of 0 is filled in */
int64_t *integers(const char *label, const char *name, size_t *shape, int rank);
double *images(const Model *model, size_t *B);                     /* B is filled in */
double *latents(const char *name, const Model *model, size_t *B); /* B is filled in where it is 0 */
void no_others(const char *argument);                             /* refuses tensors that nobody asked for */
double *matrix(size_t rows, size_t columns);

#endif
