import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import TrainConfig
from pipelines.data.batching import epoch_batches, sequential_batches

lengths = st.lists(
    st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=120
).map(lambda pairs: tuple(np.array(side) for side in zip(*pairs, strict=True)))


@given(lengths, st.integers(1, 9), st.integers(1, 60), st.integers(0, 3))
def test_batches_partition_the_pairs(sides, batch_size, max_tokens, epoch):
    src, tgt = sides
    config = TrainConfig(batch_size=batch_size, max_batch_tokens=max_tokens, seed=1)
    batches = epoch_batches(src, tgt, config, epoch)
    assert sorted(np.concatenate(batches)) == list(range(len(src)))
    for batch in batches:
        assert len(batch) <= batch_size
        longest = max(src[batch].max(), tgt[batch].max())
        assert len(batch) == 1 or len(batch) * longest <= max_tokens


@given(lengths, st.integers(1, 9))
def test_sequential_batches_partition_and_share_a_source_length(sides, batch_size):
    src, tgt = sides
    config = TrainConfig(batch_size=batch_size, max_batch_tokens=1000)
    batches = sequential_batches(src, tgt, config)
    assert sorted(np.concatenate(batches)) == list(range(len(src)))
    assert all(len(set(src[batch])) == 1 for batch in batches)


def random_lengths(num_pairs=2000):
    generator = np.random.default_rng(0)
    return generator.integers(3, 15, num_pairs), generator.integers(3, 15, num_pairs)


def cut(seed, epoch):
    config = TrainConfig(batch_size=16, max_batch_tokens=10_000, seed=seed)
    src, tgt = random_lengths()
    return epoch_batches(src, tgt, config, epoch)


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


def test_a_pair_beyond_the_token_limit_makes_a_batch_by_itself():
    lengths = np.array([5, 99, 5])
    config = TrainConfig(batch_size=3, max_batch_tokens=10)
    batches = sequential_batches(lengths, lengths, config)
    assert [batch.tolist() for batch in batches] == [[0, 2], [1]]
