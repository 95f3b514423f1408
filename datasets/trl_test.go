package datasets

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"plumb/internal/testpaths"
)

// trainTheirs loads our exports with Hugging Face datasets and takes one step on each with TRL's trainers, over a random model of one
// layer and a tokenizer of bytes. It prints the losses and what the trainers made of the first row.
const trainTheirs = `
import json, os, sys, warnings
warnings.filterwarnings("ignore")
os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", WANDB_DISABLED="true", TRL_EXPERIMENTAL_SILENCE="1")
from datasets import load_dataset
from tokenizers import Tokenizer, models, pre_tokenizers, decoders
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, RewardConfig, RewardTrainer, SFTConfig, SFTTrainer
folder = sys.argv[1]
vocab = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
for s in ["<pad>", "<eos>"]:
    vocab[s] = len(vocab)
raw = Tokenizer(models.BPE(vocab=vocab, merges=[]))
raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
raw.add_special_tokens(["<pad>", "<eos>"])
tok = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="<eos>")
tok.chat_template = ("{% if tools %}tools:{{ tools | tojson }}\n{% endif %}{% for m in messages %}{{ m.role }}:{{ m.content or '' }}"
    "{% if m.tool_calls %}{% for c in m.tool_calls %}call:{{ c.function.name }}{% endfor %}{% endif %}<eos>{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}")
cfg = LlamaConfig(vocab_size=len(tok), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, pad_token_id=tok.pad_token_id, num_labels=1)
kinds = {"dpo": (DPOTrainer, DPOConfig, LlamaForCausalLM, {}), "kto": (KTOTrainer, KTOConfig, LlamaForCausalLM, {}),
    "sft": (SFTTrainer, SFTConfig, LlamaForCausalLM, {}), "reward": (RewardTrainer, RewardConfig, LlamaForSequenceClassification, {})}
out = {}
for name, kind in json.loads(sys.argv[2]):
    loader = "arrow" if name.endswith(".arrow") else "json"
    data = load_dataset(loader, data_files=os.path.join(folder, name), split="train", cache_dir=os.path.join(folder, "cache"))
    trainer, config, model, extra = kinds[kind]
    args = config(output_dir=os.path.join(folder, "run"), max_steps=1, per_device_train_batch_size=2, report_to=[], use_cpu=True, bf16=False, save_strategy="no",
        logging_steps=1, dataset_num_proc=None, **extra)
    path = os.path.join(folder, "model-" + kind)
    model(cfg).save_pretrained(path)
    t = trainer(model=path, args=args, train_dataset=data, processing_class=tok)
    first = {k: v for k, v in t.train_dataset[0].items() if k.endswith("_ids") and isinstance(v, list)}
    loss = t.train().training_loss
    out[name + " " + kind] = {"rows": len(t.train_dataset), "loss": loss, "columns": sorted(t.train_dataset.column_names),
        "first": {k: tok.decode(v) for k, v in first.items()}}
print("RESULT " + json.dumps(out))
`

// What we export trains in TRL: the same rows, no error, a finite loss, and the texts that were meant.
func TestTRLTrains(t *testing.T) {
	bin := testpaths.Python(t, "datasets", "trl")
	dir := t.TempDir()
	var pairs, raws, unpaired, demos, texts, tools []Record
	for i := 0; i < 6; i++ {
		q := []Message{{Role: "system", Content: "s"}, user(fmt.Sprint("q", i))}
		pairs = append(pairs, Record{ID: fmt.Sprint(i), Prompt: q, Chosen: []Message{assistant("good")}, Rejected: []Message{assistant("bad")}, Margin: ptr(0.5),
			ChosenScore: ptr(2.0), RejectedScore: ptr(1.0), Meta: map[string]string{"k": fmt.Sprint(i)}})
		raws = append(raws, Record{ID: fmt.Sprint(i), Prompt: Text(fmt.Sprint("q", i)), Chosen: Text(" good"), Rejected: Text(" bad")})
		unpaired = append(unpaired, Record{ID: fmt.Sprint(i), Prompt: q, Chosen: []Message{assistant("good")}, Label: ptr(i%2 == 0)})
		demos = append(demos, Record{ID: fmt.Sprint(i), Prompt: q, Chosen: []Message{assistant("good")}})
		texts = append(texts, Record{ID: fmt.Sprint(i), Chosen: Text("good text")})
		tool := samples()[8]
		tool.ID = fmt.Sprint(i)
		tools = append(tools, tool)
	}
	var jobs [][2]string
	put := func(name, format, kind string, recs []Record) {
		w, err := Create(filepath.Join(dir, name), WriteOptions{Format: format})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range recs {
			if err := w.Write(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, [2]string{name, kind})
	}
	put("pairs.jsonl", "trl", "dpo", pairs)
	put("raws.jsonl.gz", "trl", "dpo", raws)
	put("pairs.arrow", "plumb", "dpo", pairs) // our own columns are TRL's where there are pairs
	put("reward.arrow", "plumb", "reward", pairs)
	put("reward.jsonl", "trl", "reward", pairs)
	put("unpaired.jsonl", "kto", "kto", unpaired)
	put("demos.jsonl", "trl", "sft", demos)
	put("messages.jsonl", "openai", "sft", demos)
	put("texts.jsonl", "trl", "sft", texts)
	put("tools.jsonl", "trl", "sft", tools)
	list, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "-c", trainTheirs, dir, string(list))
	cmd.Env = append(os.Environ(), "HF_HOME="+filepath.Join(dir, "home"))
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, tail(text, 4000))
	}
	type result struct {
		Rows    int               `json:"rows"`
		Loss    float64           `json:"loss"`
		Columns []string          `json:"columns"`
		First   map[string]string `json:"first"`
	}
	var got map[string]result
	_, found, ok := cutLast(text, "RESULT ")
	if !ok {
		t.Fatalf("no result:\n%s", tail(text, 4000))
	}
	if err := json.Unmarshal(found, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string]string{
		"pairs.jsonl dpo":     {"prompt_ids": "system:s<eos>user:q0<eos>assistant:", "chosen_ids": "good<eos>", "rejected_ids": "bad<eos>"},
		"raws.jsonl.gz dpo":   {"prompt_ids": "q0", "chosen_ids": " good<eos>", "rejected_ids": " bad<eos>"},
		"reward.jsonl reward": {"chosen_ids": "system:s<eos>user:q0<eos>assistant:good<eos>", "rejected_ids": "system:s<eos>user:q0<eos>assistant:bad<eos>"},
		"unpaired.jsonl kto":  {"prompt_ids": "system:s<eos>user:q0<eos>assistant:", "completion_ids": "good<eos>"},
		"pairs.arrow dpo":     {"prompt_ids": "system:s<eos>user:q0<eos>assistant:", "chosen_ids": "good<eos>", "rejected_ids": "bad<eos>"},
		"reward.arrow reward": {"chosen_ids": "system:s<eos>user:q0<eos>assistant:good<eos>", "rejected_ids": "system:s<eos>user:q0<eos>assistant:bad<eos>"},
		"demos.jsonl sft":     {"input_ids": "system:s<eos>user:q0<eos>assistant:good<eos>"},
		"messages.jsonl sft":  {"input_ids": "system:s<eos>user:q0<eos>assistant:good<eos>"},
		"texts.jsonl sft":     {"input_ids": "good text<eos>"},
		"tools.jsonl sft":     {"input_ids": `tools:[{"type": "function", "function": {"name": "add"}}]` + "\nuser:add 1 2<eos>assistant:call:add<eos>tool:3<eos>assistant:It is 3.<eos>"},
	}
	for name, fields := range want {
		r, ok := got[name]
		if !ok || r.Rows != 6 || !(r.Loss > 0) {
			t.Errorf("%s: %+v", name, r)
		}
		for k, v := range fields {
			if r.First[k] != v {
				t.Errorf("%s: %s is %q, want %q (all: %q)", name, k, r.First[k], v, r.First)
			}
		}
		t.Logf("%s: loss %.3f, %q", name, r.Loss, r.First)
	}
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

func cutLast(b []byte, mark string) (before, after []byte, ok bool) {
	for i := len(b) - len(mark); i >= 0; i-- {
		if string(b[i:i+len(mark)]) == mark {
			return b[:i], b[i+len(mark):], true
		}
	}
	return b, nil, false
}
