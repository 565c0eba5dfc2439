#include "executor/input_check.h"

#include <cctype>
#include <string>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

// "kMSI_Float32".
std::string OriginalName(DataType dtype) {
  std::string name(DataTypeName(dtype));
  name[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(name[0])));
  return "kMSI_" + name;
}

std::string WantedAndCame(GraphId graph, const TensorInfo& wanted, const Tensor& came) {
  return StrCat("input ", wanted.name, " is ", came.ToString(), ", graph ", graph, " wants ",
                wanted.ToString());
}

bool FitsKnownDims(const Shape& wanted, const Shape& came) {
  if (wanted.rank() != came.rank()) return false;
  for (size_t i = 0; i < wanted.rank(); ++i) {
    if (wanted[i] != Shape::kUnknownDim && wanted[i] != came[i]) return false;
  }
  return true;
}

Status CheckCount(GraphId graph, size_t came, size_t wanted) {
  if (came == wanted) return OkStatus();
  return InvalidArgument(StrCat("Given model inputs size ", came, came < wanted ? " less" : " more",
                                " than model inputs size ", wanted, ": graph ", graph, " wants ",
                                wanted, " inputs"));
}

Status CheckInput(GraphId graph, size_t index, const TensorInfo& wanted, const Tensor& came) {
  if (came.dtype() != wanted.dtype) {
    return InvalidArgument(StrCat("Given model input ", index, " data type ",
                                  OriginalName(came.dtype()), " not match the data type ",
                                  OriginalName(wanted.dtype),
                                  " defined in model: ", WantedAndCame(graph, wanted, came)));
  }
  const bool dynamic = !wanted.shape.is_known();
  if (dynamic && !FitsKnownDims(wanted.shape, came.shape())) {
    return InvalidArgument(StrCat("Given model input ", index, " shape ", came.shape(),
                                  " not match the shape ", wanted.shape,
                                  " defined in model: ", WantedAndCame(graph, wanted, came)));
  }
  // A tensor made by hand may hold fewer bytes than its shape says.
  const int64_t size =
      dynamic ? TensorInfo{{}, came.dtype(), came.shape()}.byte_size() : wanted.byte_size();
  if (size >= 0 && came.byte_size() == static_cast<size_t>(size)) return OkStatus();
  return InvalidArgument(StrCat("Given model input ", index, " size ", came.byte_size(),
                                " not match the size ", size,
                                " defined in model: ", WantedAndCame(graph, wanted, came)));
}

}  // namespace

Status CheckInputs(GraphId graph, const GraphSignature& signature, std::span<const Tensor> inputs) {
  PIPESERVE_RETURN_IF_ERROR(CheckCount(graph, inputs.size(), signature.inputs.size()));
  for (size_t i = 0; i < inputs.size(); ++i) {
    PIPESERVE_RETURN_IF_ERROR(CheckInput(graph, i, signature.inputs[i], inputs[i]));
  }
  return OkStatus();
}

}  // namespace pipeserve
