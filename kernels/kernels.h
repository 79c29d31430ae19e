/* kernels.h: the network as tensors and threads. The public header of kernels/; quant.h is another,
 * for who makes int8 weights.
 *
 * Nothing in kernels/ opens a file, reads the environment, logs or knows of HTTP. Set-up
 * functions return KN_OK or an error code with a sentence; kernels assert and cannot fail.
 *
 * Shape letters: n images, c channels, h height, w width; ic/oc channels in and out,
 * kh/kw filter size. All public tensors are float32, dense, NCHW unless a comment says otherwise.
 */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/err.h"

enum {
    KN_MAX_LAYERS = 192, /* ResNet-152: 155 convolutions, two pools, the classifier */
    KN_MAX_NAME = 32,
    KN_MAX_THREADS = 8,
    KN_MAX_DIMS = 4,
    KN_MAX_SIDE = 4096,      /* px of the input */
    KN_MAX_CHANNELS = 65536, /* of any layer, classes included */
    KN_ALIGN = 64,           /* bytes: every tensor and weight starts on a cache line */
};

/* ---- the network: a table of layers, read off the weights' names and shapes (resnet.c) ------ */

enum kn_op { KN_CONV, KN_MAXPOOL, KN_AVGPOOL, KN_FC };

struct kn_layer {
    char name[KN_MAX_NAME]; /* torchvision's: "conv1", "layer2.0.conv1", "fc"; pools: "maxpool" */
    enum kn_op op;
    int stage; /* 0 stem, 1..4 "layer1".."layer4", 5 head */
    int ic, ih, iw;
    int oc, oh, ow;
    int kh, kw, stride, pad; /* square strides and symmetric padding */
    int relu;                /* 1: max(0, x) after bias and residual */
    int in, out;             /* activation values, 0 = the network's input */
    int residual;            /* activation value added before ReLU, or -1 */
};

struct kn_net {
    char arch[KN_MAX_NAME]; /* "resnet50", "resnet18", "resnet50-w128" ... */
    int n_layers;
    int n_values;
    int height, width; /* of the input; channels are layer[0].ic */
    int classes, features;
    struct kn_layer layer[KN_MAX_LAYERS];
};

/* Says the shape of the tensor `name`: returns its number of dimensions (1..KN_MAX_DIMS) and
 * fills dim[], or returns 0 when there is no such tensor. */
typedef int kn_shape_fn(void *ctx, const char *name, int64_t dim[KN_MAX_DIMS]);

/* Builds the table for an input of height x width pixels from the shapes of "conv1.weight",
 * "layerS.B.convK.weight", "layerS.B.downsample.0.weight" and "fc.weight" (torchvision's names,
 * filters [oc, ic, kh, kw], classifier [classes, features]). Errors: KN_EARCH, KN_ESHAPE, naming
 * tensor, expected and found. */
int kn_net_init(struct kn_net *net, int height, int width, kn_shape_fn *shape_of, void *ctx,
                struct kn_err *err);

/* Multiply-adds of one layer for one image, and of the whole network. */
int64_t kn_layer_macs(const struct kn_layer *layer);
int64_t kn_net_macs(const struct kn_net *net);

/* ---- CPU features, engines (cpu.c, dispatch.c) ---------------------------------------------- */

struct kn_cpu {
    int avx2, avx512, avx512vnni, avx512bf16; /* usable: CPU and operating system both */
    int fast_bf16;                     /* AVX512-BF16 multiplies twice as fast as fp32, or more */
    int l1d_bytes, l2_bytes, l3_bytes; /* of one core; defaults when hidden */
    char brand[64];
};

const struct kn_cpu *kn_cpu(void); /* read once; thread-safe after the first call */

/* The engines there are here, best first, as one line: "blas, ref". Static storage. */
const char *kn_isa_names(void);

/* Core of OpenBLAS in use ("SkylakeX"), its version line, and whether it was built serial. */
const char *kn_blas_core(void);
const char *kn_blas_config(void);
int kn_blas_is_serial(void);

/* ---- weights -------------------------------------------------------------------------------- */

/* What int8 knows of a layer beside its filters; made by kn_quant_layer(), explained in quant.h. */
enum {
    KN_QUANT_STEP,     /* the real number that 1 of the layer's output stands for; logits: 1 */
    KN_QUANT_RESIDUAL, /* by which a residual is multiplied to be in steps of the output; or 0 */
    KN_QUANT_STEPS
};

struct kn_quant {
    const int32_t *bias;     /* [oc], in steps of the sum */
    const float *multiplier; /* [oc], steps of the output in one step of the sum */
    const float *step;       /* [KN_QUANT_STEPS] */
    const float *input;      /* [2, ic], first layer only: gains and shifts of a float input */
};

/* One layer's parameters, batch-norm already folded in. Both pointers stay the caller's and must
 * outlive the plan; 64-byte aligned; never written. Layers without parameters have NULLs.
 * w is in the layout that kn_plan_layout() names; "f32.plain" is dense [oc, ic, kh, kw] or
 * [classes, features]. bias: [oc], NULL in int8 */
struct kn_weight {
    const void *w;
    const float *bias;
    struct kn_quant quant; /* int8 only, else NULLs */
};

/* The layout id that an engine reads for a precision ("fp32", "int8"), or NULL with err set when
 * isa or precision is not to be had here. isa NULL: the best there is. */
const char *kn_plan_layout(const char *isa, const char *precision, struct kn_err *err);

/* How many bytes a layer's parameters take in a layout, bias not counted; 0 when the layer has none
 * or the layout is unknown (pack.c). */
size_t kn_pack_bytes(const char *layout, const struct kn_layer *layer);

/* Brings dense filters [oc, ic, kh, kw] or [classes, features] into a layout that kn_pack_bytes()
 * knows, but for "s8.n32", which kn_quant_layer() makes. out: KN_ALIGN-aligned, kn_pack_bytes()
 * long. */
void kn_pack(const char *layout, const struct kn_layer *layer, const float *oihw, void *out);

/* ---- plan and run (plan.c) ------------------------------------------------------------------ */

struct kn_options {
    const char *isa;       /* NULL: best; else one of kn_isa_names(): lowers, never raises */
    const char *precision; /* NULL: "fp32"; "int8" */
    int max_batch;         /* images that one kn_run() may take; at least 1 */
    int max_threads;       /* 1..KN_MAX_THREADS */
    /* A plan whose threads are used, and not more than it has; it is freed later than the new one,
     * and only one of them runs at a time. NULL: threads of its own. */
    const struct kn_plan *beside;
};

struct kn_plan; /* the network, its weights, an activation arena and threads; one caller at a time
                 */

/* Allocates everything that running will need. weights: [net->n_layers], copied; net is copied.
 * Errors: KN_EISA, KN_EPRECISION, KN_ESCALE, KN_ENOMEM, KN_ETHREADS. Free with kn_plan_free(NULL is
 * fine). */
int kn_plan_new(struct kn_plan **plan, const struct kn_net *net, const struct kn_weight *weights,
                const struct kn_options *options, struct kn_err *err);
void kn_plan_free(struct kn_plan *plan);

const struct kn_net *kn_plan_net(const struct kn_plan *plan);
const char *kn_plan_isa(const struct kn_plan *plan);
/* Activations and scratch, private to the process; what is there for batches, batches touch. */
size_t kn_plan_bytes(const struct kn_plan *plan);

/* The algorithm that a layer runs with ("im2col+sgemm", "sgemm", "ref", ...). Static storage. */
const char *kn_plan_algorithm(const struct kn_plan *plan, int layer);

/* What a layer really does for one image with the plan's algorithm: Winograd multiplies less than
 * kn_layer_macs() says, blocks that are filled up more. */
struct kn_work {
    int64_t macs;
    int64_t weight_bytes; /* read */
    int64_t value_bytes;  /* read and written: input, output, residual */
};

void kn_plan_work(const struct kn_plan *plan, int layer, struct kn_work *work);

/* Called on the caller's thread before each layer and once after the last (layer == n_layers).
 * Returns how many threads the layer may use (clamped to 1..max_threads), or 0 to stop. Of a batch
 * the layers are gone through once for each image, up to where the images are taken together. */
typedef int kn_between_fn(void *ctx, int layer);

/* x: [n, c, height, width] -> logits: [n, classes], features: [n, features] or NULL.
 * The same bits for any n, any number of threads. between may be NULL.
 * Returns KN_OK, or KN_ESTOPPED when the callback returned 0 (outputs then unspecified).
 * No allocation, no lock that another process could hold. */
int kn_run(struct kn_plan *plan, const float *x, int n, float *logits, float *features,
           kn_between_fn *between, void *ctx);

/* The same from 8-bit pixels, x: [n, height, width, c], as they are before mean and standard
 * deviation; int8 plans only. kn_run() of such a plan brings its floats back to pixels first
 * (kn_quant_pixels()): what came from pixels gives the same bits either way. */
int kn_run_pixels(struct kn_plan *plan, const uint8_t *x, int n, float *logits, float *features,
                  kn_between_fn *between, void *ctx);

/* Copies the value that `layer` has just written, as real numbers, dense [c, h, w] of one image,
 * into out: image 0 of a batch that is computed as one, else the image in hand. Only valid from
 * inside the callback, for layer - 1. */
void kn_plan_output(const struct kn_plan *plan, int layer, float *out);

/* ---- after the network (eltwise.c) ---------------------------------------------------------- */

/* x, p: [n] each; may be the same array. Sums in double; the largest x becomes exp(0). */
void kn_softmax(const float *x, int n, float *p);
void kn_sigmoid(const float *x, int n, float *p);

#endif
