#include "scheduler/byte_account.h"

#include "scheduler/fakes.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

TEST(ByteAccountTest, BytesCountUntilTheLastReferenceGoes) {
  const auto account = std::make_shared<ByteAccount>();
  Instance instance = {Tensor(DataType::kInt8, {100}), Tensor(DataType::kInt8, {0})};
  account->Charge(instance);
  EXPECT_EQ(account->live_bytes(), 100u);
  Tensor view = instance[0];
  Buffer slice = view.buffer().Slice(10, 5);
  instance.clear();
  view = {};
  EXPECT_EQ(account->live_bytes(), 100u);
  slice = {};
  EXPECT_EQ(account->live_bytes(), 0u);
}

TEST(ByteAccountTest, TensorsStayWhatTheyAre) {
  const auto account = std::make_shared<ByteAccount>();
  float value = 3;
  bool freed = false;
  int owner = 0;
  {
    Instance charged = {
        Tensor(DataType::kFloat32, {1},
               Buffer::Wrap(&value, sizeof(value), [&freed] { freed = true; }, &owner))};
    account->Charge(charged);
    EXPECT_EQ(charged[0].data(), &value);
    EXPECT_EQ(charged[0].buffer().owner(), &owner);
    EXPECT_EQ(charged[0].ToString(), "float32[1]");
    EXPECT_FALSE(freed);
  }
  EXPECT_TRUE(freed);
  EXPECT_EQ(account->live_bytes(), 0u);
}

TEST(ByteAccountTest, TheAccountOutlivesItsRequest) {
  Instance kept;
  {
    const auto account = std::make_shared<ByteAccount>();
    kept = {Tensor(DataType::kInt8, {100})};
    account->Charge(kept);
  }
  kept.clear();
}

}  // namespace
}  // namespace pipeserve
