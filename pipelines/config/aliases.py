"""Names of our settings and options in other toolkits: the data of `suggest`.

They are taken from fairseq, OpenNMT-py, Marian, Sockeye and Joey NMT, and compared
without case, hyphens and underscores. If a name belongs to several settings, those of
the user's section are suggested, else all of them.
"""

from collections.abc import Mapping

# Setting -> its names in other toolkits.
SETTINGS: Mapping[str, str] = {
    "data.source_lang": "src_lang source_language src_language lang",
    "data.target_lang": "tgt_lang trg_lang target_language tgt_language lang",
    "data.train": """src tgt trg source target train_src train_tgt path_src path_tgt
        trainpref train_sets train_data train_file train_path training_data prepared
        prepared_data corpus data data_dir corpora train_subset""",
    "data.valid": """valid_src valid_tgt valid_sets validpref valid_data dev dev_src
        dev_tgt dev_file validation validation_source validation_target valid_subset
        validation_file eval_file""",
    "data.test": "test_src test_tgt testpref test_sets test_data test_file",
    "preprocess.tokenizer": """bpe subword subword_type src_subword_type
        tgt_subword_type tokenizer_type tokenize tokenization level bpe_codes
        sentencepiece spm moses char chars characters sentencepiece_options
        sentencepiece_alphas transforms""",
    "preprocess.source_tokenizer": "src_tokenizer source_tokenization",
    "preprocess.target_tokenizer": "tgt_tokenizer trg_tokenizer target_tokenization",
    "preprocess.sentencepiece_model": "spm_model model_type sentencepiece_type",
    "preprocess.source_sentencepiece": "src_subword_model source_spm",
    "preprocess.target_sentencepiece": "tgt_subword_model target_spm",
    "preprocess.sentencepiece_joint": "joint_bpe joint_spm share_sentencepiece",
    "preprocess.sentencepiece_vocab_size": """bpe_size bpe_vocab_size num_merges
        bpe_operations spm_vocab_size num_pieces""",
    "preprocess.sentencepiece_sample_size": "sentencepiece_max_lines spm_sample_size",
    "preprocess.lowercase": "lower lc lower_case do_lower_case",
    "preprocess.normalization": "normalize normalizer unicode_normalization nfkc nfc",
    "preprocess.source_vocab_size": """src_vocab_size nwordssrc vocab_size voc_limit
        num_words max_vocab_size max_vocab dim_vocabs vocabulary_size
        source_vocabulary_size""",
    "preprocess.target_vocab_size": """tgt_vocab_size trg_vocab_size nwordstgt
        vocab_size voc_limit num_words max_vocab_size max_vocab dim_vocabs
        vocabulary_size target_vocabulary_size""",
    "preprocess.source_vocab": "src_vocab vocabs srcdict voc_file source_vocabulary",
    "preprocess.target_vocab": """tgt_vocab trg_vocab vocabs tgtdict voc_file
        target_vocabulary""",
    "preprocess.share_vocab": "shared_vocab joined_dictionary shared_vocabulary",
    "preprocess.min_count": """min_freq min_frequency voc_min_freq word_min_count
        threshold_src threshold_tgt src_words_min_frequency tgt_words_min_frequency
        words_min_frequency vocab_min_frequency""",
    "preprocess.reverse_source": "reverse reverse_input reverse_src",
    "preprocess.max_length": """max_len max_seq_len max_seq_length max_sent_length
        src_seq_length tgt_seq_length max_source_positions max_target_positions
        max_sentence_length max_target_length""",
    "preprocess.max_ratio": "length_ratio max_length_ratio src_tgt_ratio",
    "preprocess.part_size": "shard_size num_samples_per_shard",
    "preprocess.workers": "num_workers num_proc jobs max_processes n_workers",
    "binarize.workers": "num_workers num_proc jobs n_workers",
    "model.layers": """layer num_layers n_layers depth enc_layers dec_layers
        encoder_layers decoder_layers enc_depth dec_depth rnn_num_layers""",
    "model.cells": """hidden hidden_size hidden_dim rnn_size dim_rnn rnn_num_hidden
        enc_hid_size dec_hid_size enc_rnn_size dec_rnn_size encoder_hidden_size
        decoder_hidden_size units num_units hidden_units lstm_size d_model
        model_dim""",
    "model.embedding_size": """embedding embeddings emb_size emb_dim embed_dim
        embedding_dim word_vec_size src_word_vec_size tgt_word_vec_size dim_emb
        num_embed encoder_embed_dim decoder_embed_dim emb""",
    "model.dropout": """dropout_rate drop_rate dropout_rnn dropout_src dropout_trg
        hidden_dropout embed_dropout encoder_dropout_in encoder_dropout_out
        decoder_dropout_in decoder_dropout_out rnn_dropout_inputs
        rnn_dropout_states""",
    "model.tie_embeddings": """tied_embeddings tied_softmax tie_weights
        share_decoder_embeddings share_decoder_input_output_embed share_embeddings
        share_all_embeddings tied_embeddings_all weight_tying weight_tying_type""",
    "model.init_range": """param_init init_weight init_uniform init_scale initializer
        uniform_init embed_init_weight init init_gain param_init_glorot
        embed_initializer""",
    "train.optimizer": "optim optimiser adam sgd",
    "train.learning_rate": "lr learn_rate initial_learning_rate base_lr max_lr",
    "train.schedule": """scheduler lr_scheduler lr_schedule scheduling decay_method
        learning_rate_decay learning_rate_scheduler_type lr_decay lr_decay_strategy
        lr_decay_inv_sqrt lr_shrink decrease_factor learning_rate_factor
        lr_scheduler_type decay""",
    "train.warmup_steps": """warmup warmup_updates lr_warmup warmup_ratio
        learning_rate_warmup""",
    "train.halve_after_epochs": "start_decay_steps lr_decay_start force_anneal",
    "train.halve_every_epochs": "decay_steps lr_decay_freq",
    "train.betas": """adam_betas beta1 beta2 adam_beta1 adam_beta2
        optimizer_params""",
    "train.weight_decay": "wd l2 l2_penalty",
    "train.clip_norm": """max_grad_norm clip_grad_norm grad_clip gradient_clip_val
        gradient_clip gradient_clipping gradient_clipping_threshold clip_gradients
        grad_norm clip clipping clip_grad_val""",
    "train.label_smoothing": "smoothing label_smoothing_factor",
    "train.loss_per": """normalization cost_type loss_normalization sentence_avg
        normalization_type""",
    "train.ema_decay": """ema average_decay exponential_smoothing moving_average
        model_ema""",
    "train.batch_size": """batch mini_batch max_sentences sentences_per_batch
        per_device_train_batch_size bs train_batch_size""",
    "train.max_batch_tokens": """max_tokens mini_batch_words batch_words
        tokens_per_batch workspace""",
    "train.max_epochs": """epoch epochs max_epoch num_epochs n_epochs after_epochs
        num_train_epochs max_num_epochs""",
    "train.max_steps": """steps train_steps max_update max_updates updates num_updates
        after_batches total_steps max_num_updates""",
    "train.max_minutes": "max_time stop_time_hours max_seconds time minutes hours",
    "train.validate_every_epochs": """valid_steps valid_freq validation_freq
        validate_interval validate_interval_updates eval_steps valid_every
        validation_interval checkpoint_interval eval_strategy evaluation_strategy""",
    "train.checkpoint_every_steps": """save_every save_checkpoint_steps save_interval
        save_interval_updates save_freq save_steps checkpoint_steps
        checkpoint_every save_strategy""",
    "train.valid_bleu": """eval_bleu valid_metrics decode_and_evaluate eval_metric
        eval_metrics predict_with_generate bleu eval_bleu_args""",
    "train.best_by": """best_checkpoint_metric early_stopping_metric
        optimized_metric monitor maximize_best_checkpoint_metric
        metric_for_best_model""",
    "train.patience": """early_stopping early_stop max_num_checkpoint_not_improved
        early_stopping_patience""",
    "train.keep_last": """keep_checkpoint keep_checkpoints keep_last_epochs
        keep_last_params keep_interval_updates keep_last_ckpts max_checkpoints
        save_total_limit""",
    "train.keep_best": "keep_best_checkpoints keep_best_ckpts keep_best_params",
    "train.seed": "random_seed rng_seed manual_seed",
    "train.device": """gpu gpus gpuid cuda use_gpu use_cuda use_cpu cpu no_cuda devices
        device_id device_ids""",
    "train.precision": """fp16 fp32 bf16 float16 half amp apex_amp dtype model_dtype
        mixed_precision autocast use_amp memory_efficient_fp16""",
    "train.threads": "num_threads cpu_threads omp_num_threads",
    "train.tensorboard": """tensorboard_dir tensorboard_logdir tensorboard_log_dir
        use_tensorboard tb wandb report_to logging_dir""",
    "translate.beam": "beam_size beam_width num_beams k greedy",
    "translate.nbest": "n_best nbest_size num_return_sequences top_n",
    "translate.search": "decoding decoding_strategy search_algorithm beam_search_stop",
    "translate.length_penalty": """lenpen alpha beam_alpha normalize length_alpha
        length_penalty_alpha length_normalization len_penalty brevity_penalty_weight""",
    "translate.unk": """replace_unk allow_unk ban_unk_token generate_unk unkpen
        forbid_unk unk_penalty strip_unknown_words""",
    "translate.ensemble": "ensemble_mode avg_raw_probs",
    "translate.max_length_ratio": """max_len_a max_length_factor ratio
        max_output_length_num_stds""",
    "translate.max_length_extra": "max_len_b",
    "translate.min_length": "min_len min_output_length min_decode_length",
    "translate.max_length": """max_len max_output_length max_new_tokens
        max_decode_length generation_max_length""",
    "translate.sample": "sampling do_sample random_sampling",
    "translate.top_k": "random_sampling_topk sampling_topk",
    "translate.temperature": "temp random_sampling_temp sampling_temperature",
    "translate.seed": "random_seed rng_seed sampling_seed",
    "translate.max_source_length": """max_input_length src_seq_length_trunc
        max_length_crop max_source_positions max_input_len""",
    "translate.precision": """fp16 fp32 bf16 float16 half dtype int8 quantize
        quantization""",
    "translate.batch_size": """batch mini_batch max_sentences valid_batch_size
        buffer_size per_device_eval_batch_size valid_mini_batch eval_batch_size""",
    "translate.max_batch_tokens": "max_tokens mini_batch_words batch_words",
    "translate.device": """gpu gpus gpuid cuda use_gpu use_cuda use_cpu cpu no_cuda
        devices device_id device_ids""",
    "translate.threads": "num_threads cpu_threads omp_num_threads",
    "score.lowercase": "lc lower ignore_case case_insensitive",
    "score.bootstrap_samples": "confidence paired_bs_n bootstrap num_bootstrap",
    "score.seed": "bootstrap_seed",
}

# Command and option -> its names in other toolkits.
OPTIONS: Mapping[tuple[str, str], str] = {
    ("train", "--num-gpus"): """world_size distributed_world_size gpu_ranks num_devices
        num_gpu gpus devices n_gpu ngpus nproc_per_node""",
    ("train", "--fork"): "finetune finetune_from_model reset_optimizer",
    ("translate", "--input"): "src source src_file source_file input_file text",
    ("translate", "--output"): "output_file out result_path hypotheses",
    ("translate", "--model"): """models path model_path checkpoint
        checkpoint_path ckpt load_model""",
    ("translate", "--model-weight"): "weights ensemble_weights",
    ("translate", "--split"): "gen_subset subset",
    ("score", "--ref"): """tgt trg target reference references refs gold
        tgt_file""",
    ("score", "--input"): "hyp hypothesis hypotheses sys system candidate",
    ("average", "--last"): """num_epoch_checkpoints num_update_checkpoints
        num_checkpoints""",
    ("average", "--output"): "output_file out",
    ("init", "--recipe"): "arch architecture config task preset",
}

_NO_ATTENTION = (
    "the model has no attention, as in the paper: a state of fixed size carries the "
    "sentence from the encoder to the decoder"
)
_NO_REPETITION_RULES = "the search has no rules against repetitions"
_ONE_SIZE = (
    "encoder and decoder have the same size: model.layers, model.cells and "
    "model.embedding_size"
)

# Names -> a sentence, for what has no setting or needs more than the setting's name.
NOTES: Mapping[str, str] = {
    """attention global_attention attention_type rnn_attention_type decoder_attention
    attn self_attention attention_dropout attention_heads num_heads heads n_heads
    transformer transformer_heads transformer_ff copy_attn copy_attention coverage_attn
    coverage_penalty guided_alignment input_feed input_feeding
    transformer_dim_ffn dim_ff ff_size alignment print_alignment report_align
    attn_debug""": _NO_ATTENTION,
    """bidirectional brnn bidir bilstm encoder_bidirectional enc_type encoder_type
    bridge""": (
        "the encoder reads in one direction, as in the paper: its remedy is to reverse "
        "the source (preprocess.reverse_source)"
    ),
    "rnn_type cell_type rnn_cell_type enc_cell dec_cell gru rnn lstm decoder_type": (
        "every layer is an LSTM; model.peepholes gives it peephole connections"
    ),
    "encoder decoder": _ONE_SIZE,
    """layer_norm layer_normalization batch_norm skip residual
    residual_connections""": (
        "layers are plain LSTMs, as in the paper: no normalization and no shortcuts"
    ),
    """accum_count accum_steps accumulate_grad_batches gradient_accumulation_steps
    update_freq update_interval optimizer_delay batch_multiplier""": (
        "gradients are not accumulated: train.batch_size is what an update sees, "
        "shared by all processes of s2s train --num-gpus"
    ),
    "batch_type mini_batch_fit maxi_batch": (
        "train.batch_size counts sentence pairs, and train.max_batch_tokens limits "
        "the tokens of a batch"
    ),
    "momentum nesterov": (
        'SGD has no momentum, as in the paper; train.optimizer = "adam" has moments, '
        "train.betas"
    ),
    "eps adam_eps optimizer_eps": "Adam's epsilon is fixed",
    "min_lr learning_rate_min stop_min_lr warmup_init_lr": (
        "the lowest learning rate follows from train.schedule"
    ),
    """fp16 float16 half amp apex_amp use_amp memory_efficient_fp16""": (
        "half precision is bf16 here, which needs no loss scaling"
    ),
    "criterion loss loss_function": (
        "the loss is cross entropy; train.label_smoothing and train.loss_per change it"
    ),
    "report_every log_interval logging_freq disp_freq log_every logging_steps": (
        "how often training reports is fixed; train/metrics.jsonl has every report"
    ),
    "log log_file logdir log_dir": "the log goes to standard error: 2> FILE keeps it",
    "d dir directory project_dir workdir": (
        "the project's folder is s2s init DIR, and -d DIR of every other command"
    ),
    """save_dir save_model model_dir output_dir checkpoint_dir save_data
    destdir""": "everything is written into the project's folder, which -d DIR names",
    """train_from restore_file load_model load_checkpoint resume pretrained_model
    continue_training continue resume_from_checkpoint no_reload""": (
        "s2s train resumes by itself; s2s train --fork trains on with other settings"
    ),
    "overwrite overwrite_output": "s2s train --force keeps the earlier training aside",
    "shuffle no_shuffle data_shuffle": (
        "each epoch has another order of batches, which follows from train.seed"
    ),
    "single_pass infinite": "train.max_epochs = 1 reads the training pairs once",
    "top_p nucleus sampling_topp random_sampling_topp": (
        "translate.top_k limits what is sampled from; there is no limit by probability"
    ),
    "diverse_beam_groups diverse_beam_strength": "the beam is not diversified",
    """no_repeat_ngram_size block_ngram_repeat repetition_penalty
    ignore_when_blocking""": _NO_REPETITION_RULES,
    "word_penalty wordpen": "translate.length_penalty corrects for length",
    "phrase_table lexicon restrict_lexicon shortlist prefix_size prefix": (
        "the search takes no lexicon and no prefix"
    ),
    "remove_bpe post_process detokenize detok replace_bpe": (
        "translations are detokenized by the rules that preprocess wrote"
    ),
    "sacrebleu scoring metrics metric sacrebleu_cfg": "s2s score prints every metric",
    "truecase truecaser": "there is no truecasing; there is preprocess.lowercase",
    "sync_sgd ddp_backend distributed_backend master_ip master_port": (
        "s2s train --num-gpus N, or torchrun -m s2scli train, starts the processes"
    ),
    "arch architecture task type model_type": (
        "there is one architecture; recipe, and the settings of [model], size it"
    ),
    "teacher_forcing teacher_forcing_ratio tf_ratio scheduled_sampling": (
        "training always feeds the words of the reference, as in the paper"
    ),
    """pre_word_vecs_enc pre_word_vecs_dec embedding_vectors encoder_embed_path
    decoder_embed_path pretrained_embeddings""": (
        "embeddings are learnt with the model; none can be loaded"
    ),
    "adaptive_softmax_cutoff sampled_softmax softmax_type": (
        "the softmax is over the whole target vocabulary, as in the paper"
    ),
    "left_pad_source left_pad_target bucket_width bucket_size no_bucketing "
    "group_by_length": (
        "a batch holds sentences of about one length, and nothing is padded"
    ),
    "with_score report_score word_scores return_prob print_step": (
        "s2s translate --json prints the log-probability of each token"
    ),
    "do_train do_eval do_predict": (
        "each stage is a command: s2s train, s2s translate, s2s score"
    ),
    "load_best_model_at_end": "the best checkpoint is used by itself",
    "valid_translation_output valid_script_path valid_log print_valid_sents": (
        "s2s translate --split valid keeps the translation of the validation split"
    ),
    "average avg average_checkpoints average_every": (
        "s2s average CHECKPOINT... -o DIR averages checkpoints; train.ema_decay "
        "averages while training"
    ),
    "log_level verbose quiet verbosity debug": "-q and -v choose how much is logged",
    "right_left r2l": "preprocess.reverse_source is on by default, as in the paper",
}

# Section of another toolkit -> ours.
SECTIONS: Mapping[str, str] = {
    "training": "train",
    "trainer": "train",
    "optimization": "train",
    "optim": "train",
    "testing": "translate",
    "generation": "translate",
    "decoding": "translate",
    "inference": "translate",
    "evaluation": "score",
    "dataset": "data",
    "network": "model",
    "vocab": "preprocess",
    "tokenization": "preprocess",
}

# Another word for a value -> ours, for the settings that accept ours.
CHOICES: Mapping[str, str] = {
    "gpu": "cuda",
    "spm": "sentencepiece",
    "bpe": "sentencepiece",
    "unigram": "sentencepiece",
    "char": "characters",
    "space": "none",
    "whitespace": "none",
    "word": "moses",
    "float32": "fp32",
    "float": "fp32",
    "single": "fp32",
    "full": "fp32",
    "bfloat16": "bf16",
    "float16": "bf16",
    "half": "bf16",
    "fp16": "bf16",
    "noam": "inverse_sqrt",
    "invsqrt": "inverse_sqrt",
    "fixed": "constant",
    "ppl": "perplexity",
    "beam": "standard",
    "replace": "copy",
    "sentences": "sentence",
    "sents": "sentence",
    "tokens": "token",
}
