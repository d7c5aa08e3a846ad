import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.batching import epoch_batches, sequential_batches

lengths = st.lists(
    st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=120
).map(lambda pairs: tuple(np.array(side) for side in zip(*pairs, strict=True)))


@given(lengths, st.integers(1, 9), st.integers(1, 60), st.integers(0, 3))
def test_batches_partition_the_pairs(sides, batch_size, max_tokens, epoch):
    src, tgt = sides
    batches = epoch_batches(
        src, tgt, batch_size=batch_size, max_tokens=max_tokens, seed=1, epoch=epoch
    )
    assert sorted(np.concatenate(batches)) == list(range(len(src)))
    for batch in batches:
        assert len(batch) <= batch_size
        longest = max(src[batch].max(), tgt[batch].max())
        assert len(batch) == 1 or len(batch) * longest <= max_tokens


@given(lengths, st.integers(1, 9))
def test_sequential_batches_partition_and_share_a_source_length(sides, batch_size):
    src, tgt = sides
    batches = sequential_batches(src, tgt, batch_size=batch_size, max_tokens=1000)
    assert sorted(np.concatenate(batches)) == list(range(len(src)))
    assert all(len(set(src[batch])) == 1 for batch in batches)


def random_lengths(num_pairs=2000):
    generator = np.random.default_rng(0)
    return generator.integers(3, 15, num_pairs), generator.integers(3, 15, num_pairs)


def cut(seed, epoch):
    return epoch_batches(
        *random_lengths(), batch_size=16, max_tokens=10_000, seed=seed, epoch=epoch
    )


def test_order_is_a_function_of_seed_and_epoch():
    def flat(batches):
        return [list(batch) for batch in batches]

    assert flat(cut(1, 3)) == flat(cut(1, 3))
    assert flat(cut(1, 3)) != flat(cut(1, 4))
    assert flat(cut(1, 3)) != flat(cut(2, 3))


def test_nearly_all_batches_share_one_source_length():
    src, _ = random_lengths()
    batches = cut(1, 0)
    shared = sum(len(set(src[batch])) == 1 for batch in batches)
    assert shared / len(batches) > 0.9


def test_targets_of_a_batch_have_similar_lengths():
    _, tgt = random_lengths()
    batches = cut(1, 0)
    padded = sum(int(tgt[batch].max()) * len(batch) for batch in batches)
    assert tgt.sum() / padded > 0.9
