/* page_curves.c - numbers and curves of a training; see page.h. */
#include "vqvae/page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void page_tiles(page_t *p) {
    html_t *h = &p->h;
    html_put(h, "<div class=\"tiles\">");
    if (p->metrics.n) report_tile(h, "steps", "%.0f", p->metrics.step[p->metrics.n - 1]);
    report_tile(h, "PSNR held out, dB", "%.2f", metrics_log_last(&p->metrics, "psnr_held_out"));
    report_tile(h, "codes used in training", "%.0f", metrics_log_last(&p->metrics, "codes_used"));
    report_tile(h, "perplexity in training", "%.1f", metrics_log_last(&p->metrics, "perplexity"));
    if (p->v) {
        const vqvae_config_t *c = vqvae_config(p->v);
        size_t parameters = 0, w, h_;
        params_t *all = vqvae_params(p->v);
        for (size_t i = 0; i < params_n(all); i++) parameters += params_at(all, (int)i)->count;
        vqvae_preprocess_size(p->v, &w, &h_);
        report_tile(h, "codes", "%.0f", (double)c->codes);
        report_tile(h, "width of a code", "%.0f", (double)c->vq_embed_dim);
        if (!vqvae_most_kept(c))
            report_tile(h, "pixels per code, each way", "%.0f", (double)vqvae_stride(c));
        if (w) report_tile(h, "codes per image", "%.0f", (double)vqvae_tokens(c, w, h_));
        report_tile(h, "million parameters", "%.2f", (double)parameters / 1e6);
    }
    html_put(h, "</div>\n");
    if (!p->v) return;
    html_put(h, "<p class=\"dim\">Fingerprint <code>");
    html_text(h, vqvae_fingerprint(p->v));
    html_put(h, "</code></p>\n");
}

static void curve(page_t *p, const char *title, const char *format, double mark,
                  const char *const *key, const char *const *name, size_t n) {
    chart_t c = {.title = title, .format = format, .mark = mark, .mark_name = "quantizer on"};
    report_curve(&p->h, &p->metrics, c, key, name, n);
}

void page_curves(page_t *p) {
    static const char *const loss[] = {"loss", "loss_rec", "loss_vq"}, *const loss_name[] = {
                                                                           "all", "pixels",
                                                                           "codes"};
    static const char *const psnr[] = {"psnr", "psnr_held_out"}, *const psnr_name[] = {"batch",
                                                                                       "held out"};
    static const struct {
        const char *key, *title, *format;
    } single[] = {{"perplexity", "Perplexity of the codes", "%.1f"},
                  {"codes_used", "Codes used", "%.0f"},
                  {"lr", "Learning rate", "%.3g"},
                  {"grad_norm", "Gradient norm", "%.3g"},
                  {"replaced", "Codes restarted since the last line", "%.0f"},
                  {"quant_error", "Quantization error / variance", "%.3f"},
                  {"z_norm", "Mean length of encoder outputs", "%.3g"},
                  {"loss_perceptual", "LPIPS", "%.4g"},
                  {"d_weight", "Weight of the generator's term", "%.3g"}};
    static const char *const gan[] = {"loss_gan", "loss_disc"}, *const gan_name[] = {
                                                                    "generator", "discriminator"};
    if (!p->metrics.n) return;
    double mark = NAN, *used = metrics_log_column(&p->metrics, "codes_used");
    for (size_t i = p->metrics.n; i--;)
        if (isfinite(used[i])) mark = p->metrics.step[i];
    free(used);
    html_put(&p->h, "<h2>Curves</h2>\n<div class=\"charts\">\n");
    curve(p, "Loss", "%.4g", mark, loss, loss_name, 3);
    curve(p, "PSNR, dB", "%.2f", mark, psnr, psnr_name, 2);
    curve(p, "Adversarial loss", "%.3g", mark, gan, gan_name, 2);
    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        curve(p, single[i].title, single[i].format, mark, &single[i].key, NULL, 1);
    html_put(&p->h, "</div>\n<p class=\"dim\">Over optimizer steps. The dashed line is the first "
                    "log line with the "
                    "quantizer on.</p>\n");
}
