// The image of a checkpoint: memory of the coordinator's, in which its files lie as they are to be written. Each worker lays the blocks that it has straight from its
// tensors to their places; nothing goes through a socket, and nothing is put together anywhere else.
//
//     image      │ header │ embed ………………… │ q_proj …… │        whole arrays, row-major
//     worker 0              ▒▒▒▒    ▒▒▒▒      ▒▒  ▒▒              segments, at a stride for each outer dim
//     worker 1                  ▒▒▒▒    ▒▒▒▒    ▒▒  ▒▒
#include "shared.h"

#if defined(__linux__)

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "common/arguments.h"
#include "common/checksum.h"
#include "cut.h"
#include "common/mapping.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

/** Memory that is mapped to lay blocks in it; none once it is closed. */
struct Image {
  std::unique_ptr<mapping::Mapped> mapped;
  char* data() const { return mapped == nullptr ? nullptr : static_cast<char*>(mapped->data); }
  int64_t bytes() const { return mapped == nullptr ? 0 : static_cast<int64_t>(mapped->bytes); }
};

/** Where one block goes. All in bytes of the image. */
struct Place {
  /** Segments of the block: `bases[0]` is the first. */
  Cut cut;
  int64_t bytes = 0;  // of the block
  /** The whole array, if its checksum is wanted; else it has no bytes. */
  int64_t array_begin = 0, array_bytes = 0;
  checksum::Share share{{}};
};

struct Layout {
  std::shared_ptr<Image> image;
  std::vector<Place> places;
  /** Shares of the blocks that were laid last. */
  std::vector<uint32_t> shares;
};

std::mutex layouts_mutex;
std::vector<std::shared_ptr<Image>> images;
std::vector<std::shared_ptr<Layout>> layouts;

REGISTER_OP("LapidaryScatterWrite")
    .Input("blocks: N * float")
    .Output("laid: int32")
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
    std::lock_guard<std::mutex> lock(layouts_mutex);
    if (id >= 0 && id < static_cast<int64_t>(layouts.size())) layout_ = layouts[id];
    OP_REQUIRES(context, layout_ != nullptr, absl::InvalidArgumentError("no such layout"));
  }

  void Compute(OpKernelContext* context) override {
    char* image = layout_->image->data();
    OP_REQUIRES(context, image != nullptr, absl::InternalError("the image is closed"));
    OP_REQUIRES(context, context->num_inputs() == static_cast<int>(layout_->places.size()), absl::InvalidArgumentError("a block for each place"));
    layout_->shares.assign(layout_->places.size(), 0);
    for (int i = 0; i < context->num_inputs(); i++) {
      Place& place = layout_->places[i];
      const Tensor& block = context->input(i);
      OP_REQUIRES(context, block.NumElements() * 4 == place.bytes, absl::InvalidArgumentError("a block has the size of its place"));
      const char* from = block.tensor_data().data();
      const int64_t bytes = place.cut.run;
      if (place.array_bytes > 0) {
        place.share.Begin(place.cut.bases[0] - place.array_begin);
        ForEachRun(place.cut, place.cut.bases[0], [&](int64_t at) {
          place.share.Copy(reinterpret_cast<uint8_t*>(image) + at, reinterpret_cast<const uint8_t*>(from), at - place.array_begin, bytes);
          from += bytes;
        });
        layout_->shares[i] = place.share.End(place.array_bytes);
        continue;
      }
      ForEachRun(place.cut, place.cut.bases[0], [&](int64_t at) {
        std::memcpy(image + at, from, bytes);
        from += bytes;
      });
    }
    Tensor* laid = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({}), &laid));
    laid->scalar<int32_t>()() = 0;
  }

 private:
  std::shared_ptr<Layout> layout_;
};

REGISTER_KERNEL_BUILDER(Name("LapidaryScatterWrite").Device(tensorflow::DEVICE_CPU), LapidaryScatterWrite);

// ---------------------------------------------------------------- from Node

std::shared_ptr<Image> FindImage(int64_t id) {
  std::lock_guard<std::mutex> lock(layouts_mutex);
  return id >= 0 && id < static_cast<int64_t>(images.size()) ? images[id] : nullptr;
}

/** openImage(path, bytes) → its number, or undefined where it cannot be had. */
napi_value OpenImage(napi_env env, napi_callback_info info) {
  napi_value args[2];
  if (!Arguments(env, info, args)) return nullptr;
  auto image = std::make_shared<Image>();
  image->mapped = mapping::Open(Text(env, args[0]), Int(env, args[1]));
  if (image->mapped == nullptr) return nullptr;
  std::lock_guard<std::mutex> lock(layouts_mutex);
  images.push_back(std::move(image));
  return MakeInt(env, static_cast<int64_t>(images.size()) - 1);
}

/** Bytes between segments that follow one another, by the dim that goes on. */
std::vector<int64_t> GapsOf(const Cut& cut) {
  std::vector<int64_t> gaps;
  int64_t inner = cut.run;
  for (size_t d = cut.sizes.size(); d-- > 0;) {
    gaps.push_back(cut.strides[d] - inner);
    inner += (cut.sizes[d] - 1) * cut.strides[d];
  }
  return gaps;
}

/** Fills in what follows from the segments of a place. @returns whether they are inside of an image of `bytes` bytes, and of the array whose checksum is wanted */
bool Complete(Place& place, int64_t bytes) {
  const Cut& cut = place.cut;
  if (cut.bases.size() != 1 || cut.sizes.size() != cut.strides.size() || cut.run <= 0 || cut.run % 4 != 0) return false;
  const int64_t first = cut.bases[0];
  int64_t end = first + cut.run;
  place.bytes = cut.run;
  for (size_t d = 0; d < cut.sizes.size(); d++) {
    if (cut.sizes[d] <= 0 || cut.strides[d] < 0 || cut.strides[d] % 4 != 0) return false;
    place.bytes *= cut.sizes[d];
    end += (cut.sizes[d] - 1) * cut.strides[d];
  }
  if (first < 0 || first % 4 != 0 || end > bytes) return false;
  if (place.array_bytes == 0) return true;
  const std::vector<int64_t> gaps = GapsOf(cut);
  place.share = checksum::Share(gaps);
  return place.array_begin <= first && end <= place.array_begin + place.array_bytes && cut.run % checksum::kRunBlock == 0 &&
         std::all_of(gaps.begin(), gaps.end(), [](int64_t gap) { return gap >= 0; });
}

/**
 * registerLayout(image, code: Float64Array) → its number. The code, for each block, in bytes of the image: begin and bytes of the whole array if its checksum is
 * wanted (else 0, 0), and the segments of the block as a cut with one base.
 */
napi_value RegisterLayout(napi_env env, napi_callback_info info) {
  napi_value args[2];
  if (!Arguments(env, info, args)) return nullptr;
  auto layout = std::make_shared<Layout>();
  layout->image = FindImage(Int(env, args[0]));
  const std::vector<int64_t> code = Numbers(env, args[1]);
  Reader in{code};
  bool fits = layout->image != nullptr;
  while (fits && in.at < code.size()) {
    Place place;
    place.array_begin = in.Next();
    place.array_bytes = in.Next();
    place.cut = in.ReadCut();
    fits = Complete(place, layout->image->bytes());
    layout->places.push_back(std::move(place));
  }
  if (!fits || in.at != code.size()) {
    napi_throw_error(env, nullptr, "this is no layout of the image");
    return nullptr;
  }
  std::lock_guard<std::mutex> lock(layouts_mutex);
  layouts.push_back(std::move(layout));
  return MakeInt(env, static_cast<int64_t>(layouts.size()) - 1);
}

/** sharesOf(layout) → the shares of the blocks that were laid last in the checksums of their arrays, by place; 0 of those that are not wanted. */
napi_value SharesOf(napi_env env, napi_callback_info info) {
  napi_value args[1], list;
  if (!Arguments(env, info, args)) return nullptr;
  const int64_t id = Int(env, args[0]);
  std::lock_guard<std::mutex> lock(layouts_mutex);
  const std::shared_ptr<Layout> layout = id >= 0 && id < static_cast<int64_t>(layouts.size()) ? layouts[id] : nullptr;
  if (layout == nullptr) return nullptr;
  napi_create_array_with_length(env, layout->shares.size(), &list);
  for (size_t i = 0; i < layout->shares.size(); i++) napi_set_element(env, list, static_cast<uint32_t>(i), MakeInt(env, layout->shares[i]));
  return list;
}

/** closeImage(image, layouts: Float64Array). TensorFlow keeps kernels, which keep layouts: the memory does not wait for them. */
napi_value CloseImage(napi_env env, napi_callback_info info) {
  napi_value args[2];
  if (!Arguments(env, info, args)) return nullptr;
  const int64_t id = Int(env, args[0]);
  const std::shared_ptr<Image> image = FindImage(id);
  if (image == nullptr) return nullptr;
  std::lock_guard<std::mutex> lock(layouts_mutex);
  for (int64_t layout : Numbers(env, args[1])) if (layout >= 0 && layout < static_cast<int64_t>(layouts.size())) layouts[layout] = nullptr;
  images[id] = nullptr;
  image->mapped = nullptr;
  return nullptr;
}

}  // namespace

void ExportImages(napi_env env, napi_value exports) {
  const struct { const char* name; napi_callback call; } functions[] = {
      {"openStaging", OpenImage}, {"registerScatter", RegisterLayout}, {"checksumShares", SharesOf}, {"closeStaging", CloseImage}, {"share", mapping::Share}, {"view", mapping::View},
  };
  for (const auto& [name, call] : functions) {
    napi_value function;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, call, nullptr, &function);
    napi_set_named_property(env, exports, name, function);
  }
}

#else

/** Elsewhere state is fetched. */
void ExportImages(napi_env, napi_value) {}

#endif
