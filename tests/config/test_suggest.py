import pytest

from pipelines.config import aliases
from pipelines.config.fields import known_keys
from pipelines.config.suggest import option_hint, setting_hint, variable_hint

TRAIN = ["--device", "--num-gpus", "--tensorboard", "--fork", "--set", "--json"]
TRANSLATE = ["--input", "--model", "--beam", "--beam-size", "--length-penalty", "--set"]
TRANSLATE += ["--precision", "--device", "--unk"]


def test_every_alias_is_of_an_existing_setting():
    assert set(aliases.SETTINGS) <= {*known_keys()}
    for others in aliases.SETTINGS.values():
        assert len(set(others.split())) == len(others.split())


@pytest.mark.slow
def test_every_alias_is_answered_with_its_setting():
    known = known_keys()
    for key, names in aliases.SETTINGS.items():
        for name in names.split():
            section = key.rpartition(".")[0]
            assert key in setting_hint(f"{section}.{name}", known), name
            assert setting_hint(name, known).startswith("did you mean"), name
            hint = option_hint(f"--{name}", command="", options=["--set"], known=known)
            assert "--set " in hint, name


@pytest.mark.parametrize("names", aliases.NOTES)
def test_a_feature_that_is_missing_is_answered_with_a_sentence(names):
    for name in names.split():
        assert aliases.NOTES[names] in setting_hint(f"model.{name}", known_keys())


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("train.lr", "train.learning_rate"),
        ("lr", "train.learning_rate"),
        ("train.learning-rate", "train.learning_rate"),
        ("model.hidden_size", "model.cells"),
        ("model.dim-rnn", "model.cells"),
        ("model.word_vec_size", "model.embedding_size"),
        ("translate.beam_size", "translate.beam"),
        ("train.fp16", "train.precision"),
        ("training.epochs", "train.max_epochs"),
        ("testing.n_best", "translate.nbest"),
        ("train.beam", "translate.beam"),
        ("trian.seed", "train.seed"),
        ("seed", "preprocess.seed, train.seed or translate.seed"),
        ("temprature", "translate.temperature"),
        ("testing.max_output_length", "translate.max_length"),
        ("preprocess.normalize", "preprocess.normalization"),
        ("translate.normalize", "translate.length_penalty"),
        ("train.batch-type", ""),
        ("train.lerning_rate", "train.learning_rate"),
        ("hiden_size", "model.cells"),  # another toolkit's name, misspelled
        ("model.cel", "model.cells"),
        ("train.foo", ""),
        ("quux", ""),
        ("bogus", ""),
        ("x", ""),
        # similar only to another toolkit's name: no answer is better than a wrong one
        ("train.num_shards", ""),
        ("limit", ""),
        ("translate.tempdir", ""),
        # a similar spelling would give a wrong answer
        ("train.data_dir", "data.train"),
        ("preprocess.transforms", "preprocess.tokenizer"),
        ("preprocess.sentencepiece_options", "preprocess.tokenizer"),
        ("validation_file", "data.valid"),
        ("init", "model.init_range"),
        ("decay", "train.schedule"),
        ("bs", "train.batch_size"),
        ("per_device_eval_batch_size", "translate.batch_size"),
        ("wandb", "train.tensorboard"),
        ("greedy", "translate.beam"),
        ("lang", "data.source_lang or data.target_lang"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_one_or_none(name, keys):
    hint = setting_hint(name, known_keys())
    assert hint.partition("?")[0] == f"did you mean {keys}" if keys else "?" not in hint


@pytest.mark.parametrize(
    ("variable", "right"),
    [
        ("S2S_MODEL_CELLS", "S2S_MODEL__CELLS"),
        ("S2S_CELLS", "S2S_MODEL__CELLS"),
        ("S2S_MODEL__CELS", "S2S_MODEL__CELLS"),
        ("S2S_TRAIN_LR", "S2S_TRAIN__LEARNING_RATE"),
        ("S2S_TRAIN__LR", "S2S_TRAIN__LEARNING_RATE"),
        ("S2S_RECIPES", "S2S_RECIPE"),
        ("S2S_WORKERS", "S2S_PREPROCESS__WORKERS or S2S_BINARIZE__WORKERS"),
    ],
)
def test_a_wrong_variable_is_answered_with_the_right_one(variable, right):
    assert variable_hint(variable, known_keys()) == f"did you mean {right}?"


@pytest.mark.parametrize(
    ("command", "options", "typed", "hint"),
    [
        ("train", TRAIN, "--lr", "did you mean --set train.learning_rate=…?"),
        ("train", TRAIN, "--learn-rate", "did you mean --set train.learning_rate=…?"),
        ("train", TRAIN, "--num_gpus", "did you mean --num-gpus?"),
        ("train", TRAIN, "--world_size", "did you mean --num-gpus?"),
        ("train", TRAIN, "--gpus", "did you mean --num-gpus or --device?"),
        ("train", TRAIN, "--tensorbord", "did you mean --tensorboard?"),
        ("train", TRAIN, "--model.cells", "did you mean --set model.cells=…?"),
        ("train", TRAIN, "--bogus", ""),
        ("translate", TRANSLATE, "--beam_size", "did you mean --beam-size?"),
        ("translate", TRANSLATE, "--beam-width", "did you mean --beam?"),
        ("translate", TRANSLATE, "--lenpen", "did you mean --length-penalty?"),
        ("translate", TRANSLATE, "--replace-unk", "did you mean --unk?"),
        ("translate", TRANSLATE, "--src", "did you mean --input?"),
        ("translate", TRANSLATE, "--gpu", "did you mean --device?"),
        (
            "translate",
            TRANSLATE,
            "--max-len-b",
            "did you mean --set translate.max_length_extra=…?",
        ),
        ("run", ["--set"], "--world-size", "did you mean s2s train --num-gpus?"),
    ],
)
def test_a_wrong_option_is_answered_with_what_the_command_has(
    command, options, typed, hint
):
    found = option_hint(typed, command=command, options=options, known=known_keys())
    assert found == hint


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("model.type", "there is one architecture"),
        ("model.lstm", "every layer is an LSTM"),
        ("train.tf_ratio", "training always feeds the words of the reference"),
        ("model.transformr", "the model has no attention"),
        ("train.num_gpus", "as an option: s2s train --num-gpus"),
        ("translate.output", "as an option: s2s translate --output or s2s average"),
        ("ref", "as an option: s2s score --ref"),
        ("train.log_level", "-q and -v choose how much is logged"),
    ],
)
def test_a_name_without_a_setting_is_answered_with_what_exists(name, sentence):
    assert setting_hint(name, known_keys()).startswith(sentence)


def test_an_alias_of_a_setting_that_is_not_in_the_schema_falls_through():
    known = ["preprocess.tokenizer", "train.seed"]
    assert setting_hint("src_tokenizer", known) == "did you mean preprocess.tokenizer?"
    assert setting_hint("share_decoder_embeddings", known) == ""


def test_the_model_without_attention_is_explained():
    hint = setting_hint("model.attention", known_keys())
    assert "no attention" in hint
    assert "fixed size" in hint
    hint = option_hint(
        "--bidirectional", command="train", options=TRAIN, known=known_keys()
    )
    assert "one direction" in hint
    assert "preprocess.reverse_source" in hint
