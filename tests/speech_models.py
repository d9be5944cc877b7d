"""Tiny models with random weights, saved as those of the Hub are, for recipes that would download some."""

from pathlib import Path

import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    GenerationConfig,
    Wav2Vec2FeatureExtractor,
    WavLMConfig,
    WavLMForXVector,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

LANGUAGES, TASKS = {"<|en|>"}, ("transcribe", "translate")
# The times, 0.02 s apart, follow what stands for none.
SPECIAL = ["<|endoftext|>", "<|startoftranscript|>", *LANGUAGES, *(f"<|{task}|>" for task in TASKS)]
SPECIAL += ["<|startofprev|>", "<|nospeech|>", "<|notimestamps|>", *(f"<|{0.02 * i:.2f}|>" for i in range(1501))]


def make_whisper(folder: Path) -> Path:
    """Writes bytes for words, with times."""
    tokenizer = WhisperTokenizer({byte: index for index, byte in enumerate(sorted(ByteLevel.alphabet()))}, [])
    tokenizer.add_tokens(SPECIAL, special_tokens=True)
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    end, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    shape = {f"{part}_{what}": 1 for part in ("encoder", "decoder") for what in ("layers", "attention_heads")}
    shape |= {"encoder_ffn_dim": 8, "decoder_ffn_dim": 8, "d_model": 8, "vocab_size": len(tokenizer)}
    tokens = {"eos_token_id": end, "bos_token_id": end, "pad_token_id": end, "decoder_start_token_id": start}
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(WhisperConfig(**shape, **tokens))
    model.generation_config = GenerationConfig(
        **tokens,
        is_multilingual=True,
        lang_to_id={language: ids[language] for language in LANGUAGES},
        task_to_id={task: ids[f"<|{task}|>"] for task in TASKS},
        no_timestamps_token_id=ids["<|notimestamps|>"],
        max_length=12,
    )
    for part in (model, tokenizer, WhisperFeatureExtractor()):
        part.save_pretrained(folder)
    return folder


def make_wavlm(folder: Path) -> Path:
    """Gives vectors of 8 numbers."""
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    position = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 1}
    vector = {"tdnn_dim": (8,) * 5, "xvector_output_dim": 8}
    torch.manual_seed(0)
    WavLMForXVector(WavLMConfig(**sizes, **position, **vector, conv_dim=(8,) * 7)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder
