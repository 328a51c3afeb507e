//! Model directories, written with nothing of the engine or the model plugin: as another program would.

use std::path::Path;

use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use serde_json::{Map, Value, json};

/// A small LSTM over the words `w0`, `w1`, ...: its tensors under PyTorch's names, with values that look like weights.
pub struct SmallModel {
    /// Entries of the vocabulary: `<unk>`, `<eos>`, and words.
    pub vocabulary: usize,
    /// Neurons.
    pub hidden: usize,
    /// Name, shape and values of each tensor.
    pub tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
}

impl SmallModel {
    /// Values in a word's embedding.
    pub const EMBEDDING: usize = 4;

    /// A model of these sizes.
    pub fn new(vocabulary: usize, hidden: usize) -> Self {
        let shapes = [
            ("encoder.weight", vec![vocabulary, Self::EMBEDDING]),
            ("lstm.weight_ih_l0", vec![4 * hidden, Self::EMBEDDING]),
            ("lstm.weight_hh_l0", vec![4 * hidden, hidden]),
            ("lstm.bias_ih_l0", vec![4 * hidden]),
            ("lstm.bias_hh_l0", vec![4 * hidden]),
            ("decoder.weight", vec![vocabulary, hidden]),
            ("decoder.bias", vec![vocabulary]),
        ];
        let tensors = shapes.into_iter().enumerate().map(|(index, (name, shape))| {
            let count: usize = shape.iter().product();
            let values = (0..count).map(|i| ((i * (index + 7)) as f32 * 1.7).sin()).collect();
            (name.to_owned(), shape, values)
        });
        Self { vocabulary, hidden, tensors: tensors.collect() }
    }

    /// The tensor of that name.
    pub fn tensor(&mut self, name: &str) -> &mut (String, Vec<usize>, Vec<f32>) {
        self.tensors.iter_mut().find(|tensor| tensor.0 == name).unwrap()
    }

    /// Writes `config.json`, `model.safetensors` and `tokenizer.json`.
    pub fn write(&self, directory: &Path) {
        std::fs::create_dir_all(directory).unwrap();
        let config = json!({
            "model_type": "txray-lstm",
            "vocab_size": self.vocabulary,
            "embedding_size": Self::EMBEDDING,
            "hidden_size": self.hidden,
            "num_layers": 1,
        });
        std::fs::write(directory.join("config.json"), config.to_string()).unwrap();
        std::fs::write(directory.join("tokenizer.json"), tokenizer(self.vocabulary).to_string()).unwrap();
        let bytes: Vec<Vec<u8>> =
            self.tensors.iter().map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
        let views = self.tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
            (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        });
        serialize_to_file(views, None, &directory.join("model.safetensors")).unwrap();
    }
}

/// The `tokenizer.json` of the `tokenizers` library for words between white space, `<eos>` behind each document.
fn tokenizer(vocabulary: usize) -> Value {
    let words = (0..vocabulary.saturating_sub(2)).map(|i| format!("w{i}"));
    let forms = ["<unk>", "<eos>"].map(str::to_owned).into_iter().chain(words);
    let vocabulary: Map<String, Value> = forms.zip(0..).map(|(form, id)| (form, Value::from(id))).collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": { "type": "WhitespaceSplit" },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "SpecialToken": { "id": "<eos>", "type_id": 0 } }],
            "pair": [
                { "Sequence": { "id": "A", "type_id": 0 } },
                { "SpecialToken": { "id": "<eos>", "type_id": 0 } },
                { "Sequence": { "id": "B", "type_id": 1 } },
                { "SpecialToken": { "id": "<eos>", "type_id": 1 } },
            ],
            "special_tokens": { "<eos>": { "id": "<eos>", "ids": [1], "tokens": ["<eos>"] } },
        },
        "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>" },
    })
}
