"""A tokenizer in the workers of torch's DataLoader, by each way to start a process."""

import pytest

WORKERS = 2


class Encoded:
    """Texts as ids, which a worker encodes."""

    def __init__(self, tokenizer, texts):
        self.tokenizer, self.texts = tokenizer, texts

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, place):
        return self.tokenizer.encode(self.texts[place])


def as_it_is(batch):
    return batch


@pytest.mark.row("R24", few=1, many=10)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.long)])
def test_a_data_loaders_workers_encode_as_the_process_does(tokenizer, sample, method, cases):
    from torch.utils.data import DataLoader

    texts = sample.read_text()[:40_000].split("\n")
    expected = [tokenizer.encode(text) for text in texts]
    tokenizer.encode_batch(texts, threads=2)
    for _ in cases:
        loader = DataLoader(
            Encoded(tokenizer, texts),
            batch_size=32,
            num_workers=WORKERS,
            collate_fn=as_it_is,
            multiprocessing_context=method,
            timeout=60,
        )
        assert [ids for batch in loader for ids in batch] == expected
    cases.asked, cases.passed = WORKERS * cases.asked, WORKERS * cases.passed
