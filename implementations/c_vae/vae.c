/* The VAE of the specification (shared/spec.py), one image at a time, in double precision.

   float32 means float32 in, out and in what a training state holds; the arithmetic between is double. */

#include "vae.h"

#include <math.h>
#include <string.h>

static const double LEARNING_RATE = 1e-3, BETA1 = 0.9, BETA2 = 0.999, EPSILON = 1e-8;

const char *const PARAMETER_NAMES[PARAMETERS] = {
    "encoder.fc1.weight",        "encoder.fc1.bias",        "encoder.fc2_mu.weight", "encoder.fc2_mu.bias",
    "encoder.fc2_logvar.weight", "encoder.fc2_logvar.bias", "decoder.fc3.weight",    "decoder.fc3.bias",
    "decoder.fc4.weight",        "decoder.fc4.bias",
};

/* Weights are (out, in), at even places; each bias follows its weight. */
void shape_of(const Model *model, int parameter, size_t shape[2], int *rank)
{
    size_t layers[PARAMETERS / 2][2] = {{model->H, model->D}, {model->L, model->H}, {model->L, model->H},
                                        {model->H, model->L}, {model->D, model->H}};
    memcpy(shape, layers[parameter / 2], sizeof layers[0]);
    *rank = parameter % 2 ? 1 : 2;
}

size_t size_of(const Model *model, int parameter)
{
    size_t shape[2];
    int rank;
    shape_of(model, parameter, shape, &rank);
    return rank == 2 ? shape[0] * shape[1] : shape[0];
}

Row new_row(const Model *model)
{
    Row row;
    row.hidden = take(model->H, sizeof(double));
    row.mu = take(model->L, sizeof(double));
    row.logvar = take(model->L, sizeof(double));
    row.std = take(model->L, sizeof(double));
    row.z = take(model->L, sizeof(double));
    row.hidden3 = take(model->H, sizeof(double));
    row.logits = take(model->D, sizeof(double));
    return row;
}

/* --- forward --- */

/* out = W in + b; four partial sums, which a compiler may hold in one register. */
static void linear(const double *weight, const double *bias, const double *in, size_t n_in, double *out, size_t n_out)
{
    size_t i, o;
    for (o = 0; o < n_out; o++, weight += n_in) {
        double sums[4] = {0.0, 0.0, 0.0, 0.0}, rest = 0.0;
        for (i = 0; i + 4 <= n_in; i += 4) {
            sums[0] += weight[i] * in[i];
            sums[1] += weight[i + 1] * in[i + 1];
            sums[2] += weight[i + 2] * in[i + 2];
            sums[3] += weight[i + 3] * in[i + 3];
        }
        for (; i < n_in; i++)
            rest += weight[i] * in[i];
        out[o] = (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest + bias[o];
    }
}

static void relu(double *values, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++)
        if (!(values[i] > 0.0))
            values[i] = 0.0;
}

void encode(const Model *model, const double *x, Row *row)
{
    double *const *t = model->tensors;
    linear(t[W1], t[B1], x, model->D, row->hidden, model->H);
    relu(row->hidden, model->H);
    linear(t[W_MU], t[B_MU], row->hidden, model->H, row->mu, model->L);
    linear(t[W_LOGVAR], t[B_LOGVAR], row->hidden, model->H, row->logvar, model->L);
}

void reparameterize(const double *noise, size_t latents, Row *row)
{
    size_t j;
    for (j = 0; j < latents; j++) {
        row->std[j] = exp(row->logvar[j] / 2.0);
        row->z[j] = row->mu[j] + row->std[j] * noise[j];
    }
}

void decode(const Model *model, Row *row)
{
    double *const *t = model->tensors;
    linear(t[W3], t[B3], row->z, model->L, row->hidden3, model->H);
    relu(row->hidden3, model->H);
    linear(t[W4], t[B4], row->hidden3, model->H, row->logits, model->D);
}

void forward(const Model *model, const double *x, const double *noise, Row *row)
{
    encode(model, x, row);
    reparameterize(noise, model->L, row);
    decode(model, row);
}

/* --- losses --- */

/* 1 / (1 + exp(-logit)), without overflow on either side. */
static double sigmoid(double logit)
{
    double small = exp(-fabs(logit));
    return (logit >= 0.0 ? 1.0 : small) / (1.0 + small);
}

void losses(const Model *model, const double *x, const Row *row, double *reconstruction, double *kl)
{
    size_t d, j;
    *reconstruction = *kl = 0.0;
    for (d = 0; d < model->D; d++) { /* x softplus(-l) + (1 - x) softplus(l), without cancellation */
        double logit = row->logits[d];
        double kink = logit < 0.0 ? x[d] * -logit : (1.0 - x[d]) * logit;
        *reconstruction += kink + log1p(exp(-fabs(logit)));
    }
    for (j = 0; j < model->L; j++)
        *kl += 0.5 * (row->mu[j] * row->mu[j] + (expm1(row->logvar[j]) - row->logvar[j]));
}

/* --- gradients --- */

/* The gradients of a linear layer: of its parameters, added to; of its input (n_in,), added to, where not NULL. */
static void linear_gradients(const double *d_out, size_t n_out, const double *weight, const double *in, size_t n_in,
                             double *d_weight, double *d_bias, double *d_in)
{
    size_t i, o;
    for (o = 0; o < n_out; o++, weight += n_in, d_weight += n_in) {
        double slope = d_out[o];
        d_bias[o] += slope;
        for (i = 0; i < n_in; i++)
            d_weight[i] += slope * in[i];
        for (i = 0; d_in && i < n_in; i++)
            d_in[i] += slope * weight[i];
    }
}

static void through_relu(double *d_hidden, const double *hidden, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++)
        if (!(hidden[i] > 0.0)) /* relu'(0) = 0 */
            d_hidden[i] = 0.0;
}

void add_gradients(const Model *model, const double *x, const double *noise, const Row *row, Row *slopes,
                   double *const *gradients)
{
    size_t D = model->D, H = model->H, L = model->L, d, j;
    double *const *t = model->tensors, *const *g = gradients;
    memset(slopes->hidden, 0, H * sizeof(double));
    memset(slopes->hidden3, 0, H * sizeof(double));
    memset(slopes->z, 0, L * sizeof(double));
    for (d = 0; d < D; d++) /* sigmoid(l) - x, without cancellation */
        slopes->logits[d] = (1.0 - x[d]) * sigmoid(row->logits[d]) - x[d] * sigmoid(-row->logits[d]);
    linear_gradients(slopes->logits, D, t[W4], row->hidden3, H, g[W4], g[B4], slopes->hidden3);
    through_relu(slopes->hidden3, row->hidden3, H);
    linear_gradients(slopes->hidden3, H, t[W3], row->z, L, g[W3], g[B3], slopes->z);
    for (j = 0; j < L; j++) {
        slopes->mu[j] = slopes->z[j] + row->mu[j];
        slopes->logvar[j] = slopes->z[j] * noise[j] * row->std[j] / 2.0 + expm1(row->logvar[j]) / 2.0;
    }
    linear_gradients(slopes->mu, L, t[W_MU], row->hidden, H, g[W_MU], g[B_MU], slopes->hidden);
    linear_gradients(slopes->logvar, L, t[W_LOGVAR], row->hidden, H, g[W_LOGVAR], g[B_LOGVAR], slopes->hidden);
    through_relu(slopes->hidden, row->hidden, H);
    linear_gradients(slopes->hidden, H, t[W1], x, D, g[W1], g[B1], NULL);
}

/* --- Adam, Algorithm 1 of Kingma & Ba (arXiv:1412.6980) --- */

void adam_step(State *state, double *const *gradients, int narrow)
{
    double correction1, correction2;
    int p;
    state->step++;
    correction1 = 1.0 - pow(BETA1, (double)state->step);
    correction2 = 1.0 - pow(BETA2, (double)state->step);
    for (p = 0; p < PARAMETERS; p++) {
        double *value = state->model.tensors[p], *m = state->m[p], *v = state->v[p];
        size_t i, count = size_of(&state->model, p);
        for (i = 0; i < count; i++) {
            double gradient = gradients[p][i];
            double first = BETA1 * m[i] + (1.0 - BETA1) * gradient;
            double second = BETA2 * v[i] + (1.0 - BETA2) * gradient * gradient;
            double update = LEARNING_RATE * (first / correction1) / (sqrt(second / correction2) + EPSILON);
            value[i] = rounded(value[i] - update, narrow);
            m[i] = rounded(first, narrow);
            v[i] = rounded(second, narrow);
        }
    }
}
