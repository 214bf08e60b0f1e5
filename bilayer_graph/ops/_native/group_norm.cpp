// Group normalisation of node features and the ReLU after it: each pass reads a block of rows that
// fits into a core's cache. Float32, contiguous; sums over blocks in double, in a fixed order.

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace {

constexpr int64_t kBlock = 1 << 14;  // floats of a block of rows: 64 KB

struct Shape {
  int64_t batch, nodes, channels, groups;
  int64_t rows() const { return std::max<int64_t>(1, kBlock / channels); }
  int64_t blocks() const { return (nodes + rows() - 1) / rows(); }
  int64_t width() const { return channels / groups; }
  double members() const { return double(nodes) * double(width()); }
};

// Calls work(item, block, first row, end) for each block of rows, and shares them among threads.
template <typename Work>
void for_each_block(const Shape& shape, Work work) {
  const int64_t blocks = shape.blocks(), rows = shape.rows();
  at::parallel_for(0, shape.batch * blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t item = task / blocks, first = task % blocks * rows;
      work(item, task, first, std::min(first + rows, shape.nodes));
    }
  });
}

// Mean of each channel over the rows, and the sum of squares around it.
void moments(const float* x, int64_t rows, int64_t channels, float* mean, float* square) {
  std::fill(mean, mean + channels, 0.0f);
  std::fill(square, square + channels, 0.0f);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t c = 0; c < channels; ++c) mean[c] += x[row * channels + c];
  const float share = 1.0f / float(rows);
  for (int64_t c = 0; c < channels; ++c) mean[c] *= share;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t c = 0; c < channels; ++c) {
      const float centred = x[row * channels + c] - mean[c];
      square[c] += centred * centred;
    }
}

// Mean and reciprocal deviation of one group of an item, from those of its channels in each block.
void combine(const Shape& shape, const float* means, const float* squares, float eps, float* mean,
             float* rstd) {
  const int64_t blocks = shape.blocks(), rows = shape.rows(), width = shape.width();
  const auto count = [&](int64_t block) {
    return double(std::min(rows, shape.nodes - block * rows));
  };
  double total = 0.0, spread = 0.0;
  for (int64_t block = 0; block < blocks; ++block)
    for (int64_t c = 0; c < width; ++c) total += count(block) * means[block * shape.channels + c];
  total /= shape.members();
  for (int64_t block = 0; block < blocks; ++block)
    for (int64_t c = 0; c < width; ++c) {
      const double off = means[block * shape.channels + c] - total;
      spread += squares[block * shape.channels + c] + count(block) * off * off;
    }
  *mean = float(total);
  *rstd = float(1.0 / std::sqrt(spread / shape.members() + double(eps)));
}

// The result is shift + scale * x: one line a channel of an item.
void line(const Shape& shape, int64_t item, const float* weight, const float* bias,
          const float* mean, const float* rstd, float* shift, float* scale) {
  for (int64_t c = 0; c < shape.channels; ++c) {
    const int64_t group = item * shape.groups + c / shape.width();
    scale[c] = rstd[group] * weight[c];
    shift[c] = bias[c] - mean[group] * scale[c];
  }
}

// Writes the gradient before the ReLU, and adds it to the sums, alone and times the centred x.
template <bool relu>
void add_row(int64_t channels, const float* __restrict grad, const float* __restrict x,
             const float* __restrict scale, const float* __restrict shift,
             const float* __restrict centre, float* __restrict to, float* __restrict total,
             float* __restrict product) {
  for (int64_t c = 0; c < channels; ++c) {
    const bool stopped = relu && shift[c] + x[c] * scale[c] <= 0.0f;
    const float value = stopped ? 0.0f : grad[c];
    to[c] = value;
    total[c] += value;
    product[c] += value * (x[c] - centre[c]);
  }
}

// Writes offset + slope * x + scale * to.
void finish_row(int64_t channels, const float* __restrict x, const float* __restrict offset,
                const float* __restrict slope, const float* __restrict scale,
                float* __restrict to) {
  for (int64_t c = 0; c < channels; ++c) to[c] = offset[c] + slope[c] * x[c] + scale[c] * to[c];
}

// Writes shift + scale * x, and 0 for what is negative; NaN stays NaN.
template <bool relu>
void apply_row(int64_t channels, const float* __restrict x, const float* __restrict scale,
               const float* __restrict shift, float* __restrict to) {
  for (int64_t c = 0; c < channels; ++c) {
    const float value = shift[c] + x[c] * scale[c];
    to[c] = relu && value < 0.0f ? 0.0f : value;
  }
}

}  // namespace

extern "C" void group_norm(const float* x, const float* weight, const float* bias, float eps,
                           bool relu, int64_t batch, int64_t nodes, int64_t channels,
                           int64_t groups, float* out, float* mean, float* rstd) {
  const Shape shape{batch, nodes, channels, groups};
  const int64_t blocks = shape.blocks();
  std::vector<float> means(batch * blocks * channels), squares(batch * blocks * channels);
  for_each_block(shape, [&](int64_t item, int64_t task, int64_t first, int64_t end) {
    moments(x + (item * nodes + first) * channels, end - first, channels,
            means.data() + task * channels, squares.data() + task * channels);
  });
  for (int64_t i = 0; i < batch * groups; ++i) {
    const int64_t start = i / groups * blocks * channels + i % groups * shape.width();
    combine(shape, means.data() + start, squares.data() + start, eps, mean + i, rstd + i);
  }
  std::vector<float> shift(batch * channels), scale(batch * channels);
  for (int64_t item = 0; item < batch; ++item)
    line(shape, item, weight, bias, mean, rstd, shift.data() + item * channels,
         scale.data() + item * channels);
  for_each_block(shape, [&](int64_t item, int64_t, int64_t first, int64_t end) {
    const auto apply = relu ? apply_row<true> : apply_row<false>;
    for (int64_t row = first; row < end; ++row) {
      const int64_t start = (item * nodes + row) * channels;
      apply(channels, x + start, scale.data() + item * channels, shift.data() + item * channels,
            out + start);
    }
  });
}

extern "C" void group_norm_backward(const float* grad, const float* x, const float* weight,
                                    const float* bias, const float* mean, const float* rstd,
                                    bool relu, int64_t batch, int64_t nodes, int64_t channels,
                                    int64_t groups, float* grad_x, float* grad_weight,
                                    float* grad_bias) {
  const Shape shape{batch, nodes, channels, groups};
  const int64_t blocks = shape.blocks(), width = shape.width();
  std::vector<float> shift(batch * channels), scale(batch * channels);
  for (int64_t item = 0; item < batch; ++item)
    line(shape, item, weight, bias, mean, rstd, shift.data() + item * channels,
         scale.data() + item * channels);
  // Sums over the rows of the gradient before the ReLU, alone and times the centred features.
  std::vector<float> totals(batch * blocks * channels), products(batch * blocks * channels);
  for_each_block(shape, [&](int64_t item, int64_t task, int64_t first, int64_t end) {
    std::vector<float> centre(channels);
    for (int64_t c = 0; c < channels; ++c) centre[c] = mean[item * groups + c / width];
    const auto add = relu ? add_row<true> : add_row<false>;
    for (int64_t row = first; row < end; ++row) {
      const int64_t start = (item * nodes + row) * channels;
      add(channels, grad + start, x + start, scale.data() + item * channels,
          shift.data() + item * channels, centre.data(), grad_x + start,
          totals.data() + task * channels, products.data() + task * channels);
    }
  });
  std::vector<float> offset(batch * channels), slope(batch * channels);
  std::vector<double> to_weight(channels), to_bias(channels);
  for (int64_t i = 0; i < batch * groups; ++i) {
    const int64_t item = i / groups, c0 = i % groups * width;
    double total = 0.0, product = 0.0;
    for (int64_t c = c0; c < c0 + width; ++c) {
      double t = 0.0, p = 0.0;
      for (int64_t block = 0; block < blocks; ++block) {
        t += totals[(item * blocks + block) * channels + c];
        p += products[(item * blocks + block) * channels + c];
      }
      to_bias[c] += t;
      to_weight[c] += p * rstd[i];
      total += t * weight[c];
      product += p * rstd[i] * weight[c];
    }
    const double slope_i = -double(rstd[i]) * rstd[i] * product / shape.members();
    const double offset_i = -double(rstd[i]) * total / shape.members() - slope_i * mean[i];
    for (int64_t c = c0; c < c0 + width; ++c) {
      slope[item * channels + c] = float(slope_i);
      offset[item * channels + c] = float(offset_i);
    }
  }
  std::copy(to_weight.begin(), to_weight.end(), grad_weight);
  std::copy(to_bias.begin(), to_bias.end(), grad_bias);
  for_each_block(shape, [&](int64_t item, int64_t, int64_t first, int64_t end) {
    for (int64_t row = first; row < end; ++row) {
      const int64_t start = (item * nodes + row) * channels;
      finish_row(channels, x + start, offset.data() + item * channels,
                 slope.data() + item * channels, scale.data() + item * channels, grad_x + start);
    }
  });
}
