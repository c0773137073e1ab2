/* The arguments of a request, checked, and the tensors of its response.

   A bad argument ends the operation: `refuse` goes back to `answer_request`, and the response is an error naming the
   argument, what it was and what was expected. */

#include "vae.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

Request the_request;
Response the_response;
jmp_buf refusal;

/* --- answers --- */

void say(const char *key, const char *value)
{
    the_response.metadata[the_response.entry_count].key = key;
    the_response.metadata[the_response.entry_count++].value = value;
}

/* A matrix (rows, columns), or a vector (rows,) where `columns` is 0. */
void answer(const char *name, const double *values, size_t rows, size_t columns)
{
    Result *result = &the_response.results[the_response.result_count++];
    result->name = name;
    result->values = values;
    result->rank = columns ? 2 : 1;
    result->shape[0] = rows;
    result->shape[1] = columns;
}

void answer_parameters(const Model *model, double *const *tensors, const char *prefix)
{
    int p;
    for (p = 0; p < PARAMETERS; p++) {
        size_t shape[2], room = strlen(prefix) + strlen(PARAMETER_NAMES[p]) + 1;
        char *name = take(room, 1);
        int rank;
        shape_of(model, p, shape, &rank);
        snprintf(name, room, "%s%s", prefix, PARAMETER_NAMES[p]);
        answer(name, tensors[p], shape[0], rank == 2 ? shape[1] : 0);
    }
}

void answer_state(const State *state)
{
    Result *step;
    answer_parameters(&state->model, state->model.tensors, "");
    answer_parameters(&state->model, state->m, "adam.m.");
    answer_parameters(&state->model, state->v, "adam.v.");
    step = &the_response.results[the_response.result_count++];
    step->name = "adam.step";
    step->integer = state->step;
}

/* Ends the operation: the answer is an error, `kind` "value" or "type", whose message names the argument. */
void refuse(const char *kind, const char *format, ...)
{
    enum { ROOM = 512 };
    char *message = take(ROOM, 1);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, ROOM, format, arguments);
    va_end(arguments);
    memset(&the_response, 0, sizeof the_response);
    say("error", message);
    say("error_kind", kind);
    longjmp(refusal, 1);
}

/* --- checked arguments --- */

const char *metadata(const char *key)
{
    size_t i;
    for (i = 0; i < the_request.entry_count; i++)
        if (!strcmp(key, the_request.metadata[i].key))
            return the_request.metadata[i].value;
    refuse("value", "%s: missing from the metadata", key);
    return "";
}

static Tensor *find(const char *name)
{
    size_t i;
    for (i = 0; i < the_request.tensor_count; i++)
        if (!strcmp(name, the_request.tensors[i].name)) {
            the_request.tensors[i].used = 1;
            return &the_request.tensors[i];
        }
    return NULL;
}

static Tensor *need(const char *label, const char *name)
{
    Tensor *found = find(name);
    if (!found)
        refuse("value", "%s: missing", label);
    return found;
}

void no_others(const char *argument)
{
    size_t i;
    for (i = 0; i < the_request.tensor_count; i++)
        if (!the_request.tensors[i].used)
            refuse("value", "%s: got a tensor %s; expected none of that name", argument, the_request.tensors[i].name);
}

/* "(4, 12)"; a length of 0 is printed as `any`, where that is not NULL. */
static const char *shape_text(const size_t *shape, int rank, const char *any)
{
    enum { ROOM = 32 * MAX_RANK };
    char *text = take(ROOM, 1);
    int i, at = snprintf(text, ROOM, "(");
    for (i = 0; i < rank; i++) {
        at += snprintf(text + at, (size_t)(ROOM - at), "%s", i ? ", " : "");
        if (any && !shape[i])
            at += snprintf(text + at, (size_t)(ROOM - at), "%s", any);
        else
            at += snprintf(text + at, (size_t)(ROOM - at), "%lu", (unsigned long)shape[i]);
    }
    snprintf(text + at, (size_t)(ROOM - at), "%s", rank == 1 ? ",)" : ")");
    return text;
}

/* The shape must be `shape`, where 0 stands for any positive length, which is filled in. */
static void check_shape(const char *label, const Tensor *tensor, size_t *shape, int rank)
{
    int i, fits = tensor->rank == rank;
    for (i = 0; fits && i < rank; i++)
        fits = shape[i] ? tensor->shape[i] == shape[i] : tensor->shape[i] > 0;
    if (!fits)
        refuse("value", "%s: got shape %s; expected %s", label, shape_text(tensor->shape, tensor->rank, NULL),
               shape_text(shape, rank, "any"));
    for (i = 0; i < rank; i++)
        shape[i] = tensor->shape[i];
}

/* A float32 or float64 tensor of finite numbers. */
double *floats(const char *label, const char *name, size_t *shape, int rank)
{
    const Tensor *tensor = need(label, name);
    double *values;
    size_t i;
    if (strcmp(tensor->dtype, "F32") && strcmp(tensor->dtype, "F64"))
        refuse("type", "%s: got dtype %s; expected F32 or F64", label, tensor->dtype);
    check_shape(label, tensor, shape, rank);
    values = take(tensor->count, sizeof *values);
    for (i = 0; i < tensor->count; i++) {
        values[i] = number_at(tensor, i);
        if (!isfinite(values[i]))
            refuse("value", "%s: got %g at element %lu; expected finite numbers", label, values[i], (unsigned long)i);
    }
    return values;
}

int64_t *integers(const char *label, const char *name, size_t *shape, int rank)
{
    const Tensor *tensor = need(label, name);
    int64_t *values;
    size_t i;
    if (strcmp(tensor->dtype, "I64"))
        refuse("type", "%s: got dtype %s; expected I64", label, tensor->dtype);
    check_shape(label, tensor, shape, rank);
    values = take(tensor->count, sizeof *values);
    for (i = 0; i < tensor->count; i++)
        values[i] = integer_at(tensor, i);
    return values;
}

/* Images: (B, D), every pixel in [0, 1]; B is filled in. */
double *images(const Model *model, size_t *B)
{
    size_t shape[2] = {0, 0}, i;
    double *x;
    shape[1] = model->D;
    x = floats("x", "x", shape, 2);
    for (i = 0; i < shape[0] * shape[1]; i++)
        if (x[i] < 0.0 || x[i] > 1.0)
            refuse("value", "x: got %g at element %lu; expected pixels in [0, 1]", x[i], (unsigned long)i);
    *B = shape[0];
    return x;
}

/* (B, L); B is filled in where it is 0. */
double *latents(const char *name, const Model *model, size_t *B)
{
    size_t shape[2];
    double *values;
    shape[0] = *B;
    shape[1] = model->L;
    values = floats(name, name, shape, 2);
    *B = shape[0];
    return values;
}

/* The ten parameters, or Adam's moments of them, rounded to the model's dtype; `argument` is what messages call them.
   The sizes are read from the shapes where `model->L` is 0. */
static void tensors_of(Model *model, double **tensors, const char *argument, const char *prefix)
{
    size_t shape[2], i;
    char name[64], label[96];
    int p, rank;
    for (p = 0; p < PARAMETERS; p++) {
        snprintf(name, sizeof name, "%s%s", prefix, PARAMETER_NAMES[p]);
        snprintf(label, sizeof label, "%s['%s']", argument, name);
        if ((p == W1 || p == W_MU) && !model->L) { /* D and H come from the first, L from the second */
            shape[0] = 0;
            shape[1] = model->H;
            rank = 2;
        } else {
            shape_of(model, p, shape, &rank);
        }
        tensors[p] = floats(label, name, shape, rank);
        if (p == W1) {
            model->H = shape[0];
            model->D = shape[1];
        } else if (p == W_MU) {
            model->L = shape[0];
        }
        for (i = 0; i < size_of(model, p); i++)
            tensors[p][i] = rounded(tensors[p][i], the_response.narrow);
    }
}

Model read_model(const char *argument)
{
    Model model;
    memset(&model, 0, sizeof model);
    tensors_of(&model, model.tensors, argument, "");
    return model;
}

State read_state(const char *argument)
{
    State state;
    char label[96];
    memset(&state, 0, sizeof state);
    state.model = read_model(argument);
    tensors_of(&state.model, state.m, argument, "adam.m.");
    tensors_of(&state.model, state.v, argument, "adam.v.");
    snprintf(label, sizeof label, "%s['adam.step']", argument);
    state.step = *integers(label, "adam.step", NULL, 0);
    if (state.step < 0 || state.step > MAX_STEP)
        refuse("value", "%s: got %ld; expected 0 to %ld", label, (long)state.step, (long)MAX_STEP);
    return state;
}

double *matrix(size_t rows, size_t columns)
{
    if (columns && rows > SIZE_MAX / sizeof(double) / columns)
        refuse("value", "batch: got %lu x %lu numbers; expected fewer", (unsigned long)rows, (unsigned long)columns);
    return take(rows * columns, sizeof(double));
}
