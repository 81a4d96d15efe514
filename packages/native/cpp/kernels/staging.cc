// The staging buffer of a checkpoint: memory of the coordinator that has the checkpoint's files as
// they are written to disk. Each worker writes its shard blocks from its tensors directly to their
// segments, without sockets.
//
//     buffer     │ header │ embed ………………… │ q_proj …… │  whole arrays, row-major
//     worker 0              ▒▒▒▒    ▒▒▒▒      ▒▒  ▒▒     segments, at a stride for each outer dim
//     worker 1                  ▒▒▒▒    ▒▒▒▒    ▒▒  ▒▒
#include "module.h"

#if defined(__linux__)

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "common/arguments.h"
#include "common/checksum.h"
#include "common/mapping.h"
#include "segments.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace staging {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

/** A mapped staging buffer; without memory after it is closed. */
struct Staging {
  std::unique_ptr<mapping::Mapped> mapped;
  uint8_t* data() const {
    return mapped == nullptr ? nullptr : static_cast<uint8_t*>(mapped->data);
  }
  int64_t bytes() const { return mapped == nullptr ? 0 : static_cast<int64_t>(mapped->bytes); }
};

/** The location of one block, in bytes of the staging buffer. */
struct Block {
  /** `bases[0]` is the first byte of the block. */
  Segments segments;
  int64_t bytes = 0;  // of the block
  /** The whole array, if its checksum is requested; else `array_bytes` is 0. */
  int64_t array_begin = 0, array_bytes = 0;
  checksum::Share share{{}};
};

/** The locations of the blocks that one call writes. */
struct Scatter {
  std::shared_ptr<Staging> staging;
  std::vector<Block> blocks;
  /** The shares of the blocks of the last call in the checksums of their arrays. */
  std::vector<uint32_t> shares;
};

std::mutex registry_mutex;
std::vector<std::shared_ptr<Staging>> stagings;
std::vector<std::shared_ptr<Scatter>> scatters;

REGISTER_OP("LapidaryScatterWrite")
    .Input("blocks: N * float")
    .Output("written: int32")
    .Attr("N: int >= 0")
    .Attr("scatter: int")
    .SetIsStateful()
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* context) {
      context->set_output(0, context->Scalar());
      return absl::OkStatus();
    });

class LapidaryScatterWrite : public OpKernel {
 public:
  explicit LapidaryScatterWrite(OpKernelConstruction* context) : OpKernel(context) {
    int64_t id;
    OP_REQUIRES_OK(context, context->GetAttr("scatter", &id));
    std::lock_guard<std::mutex> lock(registry_mutex);
    if (id >= 0 && id < static_cast<int64_t>(scatters.size())) scatter_ = scatters[id];
    OP_REQUIRES(context, scatter_ != nullptr, absl::InvalidArgumentError("no such scatter"));
  }

  void Compute(OpKernelContext* context) override {
    uint8_t* const buffer = scatter_->staging->data();
    const int count = static_cast<int>(scatter_->blocks.size());
    OP_REQUIRES(context, buffer != nullptr, absl::InternalError("the staging buffer is closed"));
    OP_REQUIRES(context, context->num_inputs() == count,
                absl::InvalidArgumentError("a tensor for each block"));
    scatter_->shares.assign(count, 0);
    for (int i = 0; i < count; i++) {
      Block& block = scatter_->blocks[i];
      const Tensor& tensor = context->input(i);
      OP_REQUIRES(context, tensor.NumElements() * 4 == block.bytes,
                  absl::InvalidArgumentError("a tensor has the size of its block"));
      const uint8_t* from = reinterpret_cast<const uint8_t*>(tensor.tensor_data().data());
      if (block.array_bytes > 0)
        scatter_->shares[i] = WriteWithChecksum(block, buffer, from);
      else
        Write(block.segments, buffer, from);
    }
    Tensor* written = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({}), &written));
    written->scalar<int32_t>()() = 0;
  }

 private:
  static void Write(const Segments& segments, uint8_t* buffer, const uint8_t* from) {
    const int64_t bytes = segments.length;
    ForEachSegment(segments, segments.bases[0], [&](int64_t at) {
      std::memcpy(buffer + at, from, bytes);
      from += bytes;
    });
  }

  /** @returns the share of the block in the checksum of its array */
  static uint32_t WriteWithChecksum(Block& block, uint8_t* buffer, const uint8_t* from) {
    const int64_t first = block.segments.bases[0], bytes = block.segments.length;
    block.share.Begin(first - block.array_begin);
    ForEachSegment(block.segments, first, [&](int64_t at) {
      block.share.Copy(buffer + at, from, at - block.array_begin, bytes);
      from += bytes;
    });
    return block.share.End(block.array_bytes);
  }

  std::shared_ptr<Scatter> scatter_;
};

REGISTER_KERNEL_BUILDER(Name("LapidaryScatterWrite").Device(tensorflow::DEVICE_CPU),
                        LapidaryScatterWrite);

// ---------------------------------------------------------------- functions for Node

std::shared_ptr<Staging> FindStaging(int64_t id) {
  std::lock_guard<std::mutex> lock(registry_mutex);
  return id >= 0 && id < static_cast<int64_t>(stagings.size()) ? stagings[id] : nullptr;
}

/** openStaging(path, bytes) → number, or undefined if the file is missing or has another size. */
napi_value OpenStaging(napi_env env, napi_callback_info info) {
  napi_value args[2];
  if (!Arguments(env, info, args)) return nullptr;
  auto staging = std::make_shared<Staging>();
  staging->mapped = mapping::Open(Text(env, args[0]), Int(env, args[1]));
  if (staging->mapped == nullptr) return nullptr;
  std::lock_guard<std::mutex> lock(registry_mutex);
  stagings.push_back(std::move(staging));
  return MakeInt(env, static_cast<int64_t>(stagings.size()) - 1);
}

/** Bytes between consecutive segments, by the dim whose index increases. */
std::vector<int64_t> GapsOf(const Segments& segments) {
  std::vector<int64_t> gaps;
  int64_t inner = segments.length;
  for (size_t d = segments.counts.size(); d-- > 0;) {
    gaps.push_back(segments.strides[d] - inner);
    inner += (segments.counts[d] - 1) * segments.strides[d];
  }
  return gaps;
}

/**
 * Computes the fields that depend on the segments of a block.
 *
 * @returns whether they are inside of a staging buffer of `bytes` bytes, and of the array if its
 * checksum is requested
 */
bool Complete(Block& block, int64_t bytes) {
  const Segments& segments = block.segments;
  if (segments.bases.size() != 1 || segments.counts.size() != segments.strides.size()) return false;
  if (segments.length <= 0 || segments.length % 4 != 0) return false;
  const int64_t first = segments.bases[0];
  int64_t end = first + segments.length;
  block.bytes = segments.length;
  for (size_t d = 0; d < segments.counts.size(); d++) {
    if (segments.counts[d] <= 0 || segments.strides[d] < 0 || segments.strides[d] % 4 != 0)
      return false;
    block.bytes *= segments.counts[d];
    end += (segments.counts[d] - 1) * segments.strides[d];
  }
  if (first < 0 || first % 4 != 0 || end > bytes) return false;
  if (block.array_bytes == 0) return true;
  const std::vector<int64_t> gaps = GapsOf(segments);
  block.share = checksum::Share(gaps);
  return block.array_begin <= first && end <= block.array_begin + block.array_bytes &&
         segments.length % checksum::kSegmentBlock == 0 &&
         std::all_of(gaps.begin(), gaps.end(), [](int64_t gap) { return gap >= 0; });
}

/** registerScatter(staging, code: Float64Array) → number. The code is that of `encodeScatter`. */
napi_value RegisterScatter(napi_env env, napi_callback_info info) {
  napi_value args[2];
  if (!Arguments(env, info, args)) return nullptr;
  auto scatter = std::make_shared<Scatter>();
  scatter->staging = FindStaging(Int(env, args[0]));
  const std::vector<int64_t> code = Numbers(env, args[1]);
  NumberReader in{code};
  bool fits = scatter->staging != nullptr;
  while (fits && in.at < code.size()) {
    Block block;
    block.array_begin = in.Next();
    block.array_bytes = in.Next();
    block.segments = in.ReadSegments();
    fits = Complete(block, scatter->staging->bytes());
    scatter->blocks.push_back(std::move(block));
  }
  if (!fits || in.at != code.size()) {
    napi_throw_error(env, nullptr, "a block is outside of the staging buffer");
    return nullptr;
  }
  std::lock_guard<std::mutex> lock(registry_mutex);
  scatters.push_back(std::move(scatter));
  return MakeInt(env, static_cast<int64_t>(scatters.size()) - 1);
}

/**
 * checksumShares(scatter) → the share of each block of the last write in the checksum of its array;
 * 0 if it is not requested.
 */
napi_value ChecksumShares(napi_env env, napi_callback_info info) {
  napi_value args[1], list;
  if (!Arguments(env, info, args)) return nullptr;
  const int64_t id = Int(env, args[0]);
  std::lock_guard<std::mutex> lock(registry_mutex);
  if (id < 0 || id >= static_cast<int64_t>(scatters.size()) || scatters[id] == nullptr)
    return nullptr;
  const std::vector<uint32_t>& shares = scatters[id]->shares;
  napi_create_array_with_length(env, shares.size(), &list);
  for (size_t i = 0; i < shares.size(); i++)
    napi_set_element(env, list, static_cast<uint32_t>(i), MakeInt(env, shares[i]));
  return list;
}

/**
 * closeStaging(staging, scatters: Float64Array). TensorFlow keeps kernels, and the kernels keep
 * scatters. The memory is released before them.
 */
napi_value CloseStaging(napi_env env, napi_callback_info info) {
  napi_value args[2];
  if (!Arguments(env, info, args)) return nullptr;
  const int64_t id = Int(env, args[0]);
  const std::shared_ptr<Staging> staging = FindStaging(id);
  if (staging == nullptr) return nullptr;
  std::lock_guard<std::mutex> lock(registry_mutex);
  for (int64_t each : Numbers(env, args[1]))
    if (each >= 0 && each < static_cast<int64_t>(scatters.size())) scatters[each] = nullptr;
  stagings[id] = nullptr;
  staging->mapped = nullptr;
  return nullptr;
}

}  // namespace
}  // namespace staging

void ExportStaging(napi_env env, napi_value exports) {
  ExportFunctions(env, exports,
                  {{"openStaging", staging::OpenStaging},
                   {"registerScatter", staging::RegisterScatter},
                   {"checksumShares", staging::ChecksumShares},
                   {"closeStaging", staging::CloseStaging},
                   {"share", mapping::Share},
                   {"view", mapping::View}});
}

#else

/** On other systems workers send shard blocks through sockets. */
void ExportStaging(napi_env, napi_value) {}

#endif
