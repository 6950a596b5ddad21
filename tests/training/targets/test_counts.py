"""What is counted in the text of a program: products, traffic, exchanges, and loops in full."""

import dataclasses

import pytest

from training.targets import chips, counts, hlo, roofline
from training.targets.collectives import Wiring, groups_of

V5E_4 = Wiring(
  chips.find("v5e-4"),
  {"data": 1, "fsdp": 4, "tensor": 1},
  ((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)),
)
# A scan of six products whose weights are gathered, as XLA writes it for TPUs (shortened).
LOOP = """HloModule jit_f, is_scheduled=true

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[]{:T(128)} parameter(0)
  %b = f32[]{:T(128)} parameter(1)
  ROOT %sum = f32[]{:T(128)} add(%a, %b)
}

%all-reduce-scatter (input: f32[64,8]) -> f32[16,8] {
  %input = f32[64,8]{1,0:T(8,128)} parameter(0)
  %all-reduce.3 = f32[64,8]{1,0:T(8,128)} all-reduce(%input), channel_id=9, \
replica_groups={{0,1,2,3}}, use_global_device_ids=true, to_apply=%add
  %zero = u32[] constant(0)
  ROOT %cut = f32[16,8]{1,0:T(8,128)} dynamic-slice(%all-reduce.3, %zero, %zero), \
dynamic_slice_sizes={16,8}
}

%body (state: (s32[], bf16[4,64], bf16[6,16,64])) -> (s32[], bf16[4,64], bf16[6,16,64]) {
  %state = (s32[]{:T(128)}, bf16[4,64]{1,0:T(8,128)(2,1)}, bf16[6,16,64]{2,1,0}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%state), index=0
  %x = bf16[4,64]{1,0:T(8,128)(2,1)} get-tuple-element(%state), index=1
  %stack = bf16[6,16,64]{2,1,0} get-tuple-element(%state), index=2
  %own = bf16[1,16,64]{2,1,0} dynamic-slice(%stack, %i, %i, %i), dynamic_slice_sizes={1,16,64}
  %flat = bf16[16,64]{1,0} bitcast(%own)
  %whole = bf16[64,64]{1,0:T(8,128)(2,1)S(1)} all-gather(%flat), channel_id=1, \
replica_groups=mesh['axis_0'=1,'axis_1'=4] {'axis_1'}, dimensions={0}, use_global_device_ids=true
  %y = bf16[4,64]{1,0:T(8,128)(2,1)} convolution(%x, %whole), dim_labels=bf_io->bf
  ROOT %next = (s32[]{:T(128)}, bf16[4,64]{1,0}, bf16[6,16,64]{2,1,0}) tuple(%i, %y, %stack)
}

%condition (state: (s32[], bf16[4,64], bf16[6,16,64])) -> pred[] {
  %state = (s32[]{:T(128)}, bf16[4,64]{1,0}, bf16[6,16,64]{2,1,0}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%state), index=0
  %n = s32[]{:T(128)} constant(6)
  ROOT %less = pred[]{:T(512)} compare(%i, %n), direction=LT
}

ENTRY %main (state: (s32[], bf16[4,64], bf16[6,16,64]), g: f32[64,8]) -> f32[16,8] {
  %state = (s32[]{:T(128)}, bf16[4,64]{1,0}, bf16[6,16,64]{2,1,0}) parameter(0)
  %g = f32[64,8]{1,0} parameter(1)
  %loop = (s32[]{:T(128)}, bf16[4,64]{1,0}, bf16[6,16,64]{2,1,0}) while(%state), \
condition=%condition, body=%body
  ROOT %part = f32[16,8]{1,0} fusion(%g), kind=kCustom, calls=%all-reduce-scatter
}
"""


@pytest.fixture(scope="module")
def found():
  return counts.count(hlo.parse(LOOP), V5E_4)


def test_a_loop_counts_as_often_as_it_goes_round(found):
  assert found.flops == 6 * 2 * 4 * 64 * 64
  assert found.float32_flops == 0 and not found.unknown


def test_launches_are_operations_that_do_something(found):
  assert found.launches == 6 * (1 + 1 + 1) + 1  # slice, product, comparison; and the fusion


def test_exchanges_by_kind_axis_and_bytes(found):
  listed = [(one.kind, one.bytes, one.axes, one.devices, n) for one, n in found.collectives]
  assert listed == [
    ("all-gather", 64 * 64 * 2, "fsdp", 4, 6),
    ("reduce-scatter", 64 * 8 * 4, "fsdp", 4, 1),  # written as an all-reduce of which a part stays
  ]


def test_traffic_is_what_main_memory_sees(found):
  own, activations = 16 * 64 * 2, 4 * 64 * 2
  loop = 2 * own + own + 2 * activations  # sliced; gathered from there; x read, y written
  counter = 4 + 4 + 1  # compared with the constant, a truth value
  reduced = 2 * 64 * 8 * 4 + 16 * 8 * 4  # what each has, the sum, the part that stays
  assert found.bytes == 6 * (loop + counter) + reduced  # what is gathered stays on the chip


def test_known_trip_counts_are_believed():
  text = LOOP.replace("body=%body", 'body=%body, backend_config={"known_trip_count":{"n":"3"}}')
  assert counts.count(hlo.parse(text), V5E_4).flops == 3 * 2 * 4 * 64 * 64


@pytest.mark.parametrize("drawn, rounds", [((2, 6), 4), ((2, 7), 4), ((2, 20), 6), ((0, 0), 6)])
def test_a_loop_that_goes_on_begins_where_it_stands(drawn, rounds):
  assert counts.count(hlo.parse(LOOP, *drawn), V5E_4).flops == rounds * 2 * 4 * 64 * 64


def test_an_unrolled_loop_counts_several_at_a_time():
  text = LOOP.replace("tuple(%i, %y", "tuple(%copied, %y").replace(
    "  %flat = ",
    "  %two = s32[]{:T(128)} constant(2)\n  %more = s32[]{:T(128)} add(%i, %two)\n"
    "  %copied = s32[]{:T(128)} copy(%more)\n  %flat = ",
  )
  assert counts.count(hlo.parse(text), V5E_4).flops == 3 * 2 * 4 * 64 * 64


def test_the_longest_of_three_bounds_it(found):
  roof = roofline.Roofline.of(found, V5E_4.target.chip)
  # Two by two chips: no ring, a link to each of two neighbours, a quarter is there already.
  gathered, scattered = 6 * 64 * 64 * 2, 64 * 8 * 4
  assert roof.network == pytest.approx((gathered + scattered) * 3 / 4 / 100e9)
  assert roof.compute == pytest.approx(found.flops / 197e12)
  assert roof.bound_by == "network" and roof.seconds == roof.network


def test_a_batched_product_of_a_tpu():
  """A batch [2, 8] is a window of which one place fits; float32 in full is slow."""
  line = (
    "%c = f32[2,8,63,64]{3,2,1,0} convolution(%l, %r), window={size=2x8 stride=1x7 "
    "lhs_dilate=2x8}, dim_labels=01bf_01io->01bf, operand_precision={highest,highest}"
  )
  text = (
    "ENTRY %main (l: f32[2,8,63,32], r: f32[2,8,32,64]) -> f32[2,8,63,64] {\n"
    "  %l = f32[2,8,63,32]{3,2,1,0} parameter(0)\n  %r = f32[2,8,32,64]{3,2,1,0} parameter(1)\n"
    f"  ROOT {line}\n}}\n"
  )
  found = counts.count(hlo.parse(text), V5E_4)
  assert found.flops == 0
  # The stride of the first axis is 1 over an input spread by 2: each place meets one number.
  assert found.float32_flops == 2 * 2 * 8 * 63 * 64 * 32


def test_cudnns_attention_is_counted_from_its_shapes():
  shapes = "(q: bf16[2,6,4,16], k: bf16[2,8,2,16])"
  result, kernel = "bf16[2,4,6,16]{3,1,2,0}", 'custom_call_target="__cudnn$fmhaScaleBiasSoftmax'
  text = (
    f"ENTRY %main {shapes} -> bf16[2,4,6,16] {{\n"
    "  %q = bf16[2,6,4,16]{3,2,1,0} parameter(0)\n  %k = bf16[2,8,2,16]{3,2,1,0} parameter(1)\n"
    f'  %f = {result} custom-call(%q, %k, %k), {kernel}"\n'
    f'  ROOT %b = {result} custom-call(%q, %k, %k), {kernel}Backward"\n'
    "}\n"
  )
  found = counts.count(hlo.parse(text), V5E_4)
  scores = 2 * (2 * 4) * (6 * 8) * 16  # 2 sets of 4 heads, 6 queries, 8 keys of 16 numbers
  assert found.flops == 2 * scores + 5 * scores
  assert sum(found.kernels.values()) == 2 and not found.unknown


SPLASH = """
HloModule attention

ENTRY %main (m: s8[1,9,2], q: bf16[4,2,4608,128], k: bf16[4,4608,128]) -> bf16[4,2,4608,128] {
  %m = s8[1,9,2]{2,1,0} parameter(0)
  %q = bf16[4,2,4608,128]{3,2,1,0} parameter(1)
  %k = bf16[4,4608,128]{2,1,0} parameter(2)
  %splash_mqa_fwd_residuals.2 = bf16[4,2,4608,128]{3,2,1,0} custom-call(%m, %m, %m, %q, %k, %k), \
custom_call_target="tpu_custom_call", backend_config={"custom_call_config":{
"xprof_metadata":"{}"
}}
  ROOT %copy = bf16[4,2,4608,128]{3,2,1,0} copy(%splash_mqa_fwd_residuals.2)
}
"""


def test_splash_attention_is_counted_from_the_blocks_that_it_may_visit():
  program = hlo.parse(SPLASH)
  assert program.entry.root.operation == "copy"  # an attribute's own lines end nothing
  (kernel,) = (one for one in program.entry if one.operation == "custom-call")
  operands = [arrays[0] for arrays in program.entry.arrays(kernel.operands)]
  block = 4608 // 9
  visited = 4 * 2 * 9 * 2 * block**2  # pairs of a query and a key
  visits = counts.splash_visits(program)
  assert visits == {9: 2}
  for name, products in (("fwd", 2), ("dq", 3), ("dkv", 4)):
    assert counts.splash_flops(name, operands, visits) == products * 2 * visited * 128
  from_keys = [dataclasses.replace(operands[0], shape=(1, 9, 9)), *operands[1:]]
  assert counts.splash_flops("dkv", from_keys, visits) == 4 * 2 * visited * 128


def test_products_of_gpus():
  text = (
    "ENTRY %main (a: bf16[8,16], b: bf16[16,4]) -> bf16[8,4] {\n"
    "  %a = bf16[8,16]{1,0} parameter(0)\n  %b = bf16[16,4]{1,0} parameter(1)\n"
    "  %g = (bf16[8,4]{1,0}, s8[33554432]{0}) custom-call(%a, %b), "
    'custom_call_target="__cublas$gemm", backend_config={"gemm_backend_config":'
    '{"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"]}}}\n'
    "  %k = bf16[8,4]{1,0} custom-call(%a, %b), custom_call_target="
    '"__triton$mine"\n'
    "  ROOT %d = bf16[8,4]{1,0} dot(%a, %b), lhs_contracting_dims={1}, rhs_contracting_dims={0}\n"
    "}\n"
  )
  found = counts.count(hlo.parse(text), V5E_4)
  assert found.flops == 2 * (2 * 8 * 4 * 16)
  assert found.unknown == {"__triton$mine": 1}
  assert found.bytes == 3 * 2 * (8 * 16 + 16 * 4 + 8 * 4)  # without the room that cuBLAS works in


@pytest.mark.parametrize(
  "text, groups",
  [
    ("replica_groups={{0,2},{1,3}}, x", [[0, 2], [1, 3]]),
    ("replica_groups=[2,2]<=[4], x", [[0, 1], [2, 3]]),
    ("replica_groups=[2,2]<=[2,2]T(1,0), x", [[0, 2], [1, 3]]),
    ("replica_groups=mesh['a'=2,'b'=2] {'a'}, x", [[0, 2], [1, 3]]),
    ("replica_groups=mesh['a'=2,'b'=2] {'a','b'}, x", [[0, 1, 2, 3]]),
    ("replica_groups=mesh['a'=2,'b'=2], device_ids=([2,2]T(1,0)) {'a'}, x", [[0, 1], [2, 3]]),
    ("replica_groups={}, x", [[0, 1, 2, 3]]),
    ("source_target_pairs={{0,1},{1,0}}, x", [[0, 1], [1, 0]]),
  ],
)
def test_every_spelling_of_groups(text, groups):
  assert groups_of(text, 4) == groups


def test_axes_of_groups_and_rings():
  target = chips.find("v5p-128")  # 4 x 4 x 4, closed in every dimension
  places = tuple((x, y, z) for x in range(4) for y in range(4) for z in range(4))
  wiring = Wiring(target, {"data": 4, "fsdp": 4, "tensor": 4}, places)
  line = "  %x = f32[1024]{0} all-reduce(%y), replica_groups=mesh['d'=4,'f'=4,'t'=4] {'d','f'}\n"
  text = "ENTRY %m (y: f32[1024]) -> f32[1024] {\n  %y = f32[1024]{0} parameter(0)\n" + line + "}"
  one = wiring.read(hlo.parse(text).entry.instructions["x"], given=4096)
  assert (one.axes, one.devices) == ("data x fsdp", 16)
  # Scattered and gathered, 15/16 each, over two rings from two sides.
  assert one.seconds == pytest.approx(2 * 4096 * 15 / 16 / (2 * 2 * 100e9))


def test_a_text_without_a_program_is_refused():
  with pytest.raises(ValueError, match="ENTRY"):
    hlo.parse("")
