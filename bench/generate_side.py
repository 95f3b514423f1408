"""Generation by transformers; prints a line of JSON. Every answer has exactly --new tokens.

    python bench/generate_side.py --work bench/work --batch 16 --new 64 [--bf16]
"""
import argparse, json, time


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--work", required=True)
    p.add_argument("--batch", type=int, required=True)
    p.add_argument("--new", type=int, required=True)
    p.add_argument("--bf16", action="store_true")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--repeat", type=int, default=2)
    a = p.parse_args()
    prompts = [json.loads(line)["prompt"] for line in open(f"{a.work}/pairs.jsonl")][: a.batch]
    once = torch_model(a, prompts)
    once(4)
    seconds = []
    for _ in range(a.repeat):
        start = time.perf_counter()
        once(a.new)
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"work": "generate", "batch": a.batch, "new": a.new, "bf16": a.bf16, "seconds": [round(s, 3) for s in seconds],
                      "rate": a.batch * a.new / min(seconds)}))


def torch_model(a, prompts):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(a.threads)
    model = f"{a.work}/smollm2"
    tok = AutoTokenizer.from_pretrained(model, padding_side="left")
    m = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16 if a.bf16 else torch.float32).eval()
    inputs = tok(prompts, return_tensors="pt", padding=True, return_token_type_ids=False)

    def once(new):
        with torch.inference_mode():
            out = m.generate(**inputs, do_sample=True, temperature=0.7, top_k=0, top_p=1.0, max_new_tokens=new, min_new_tokens=new)
        assert out.shape == (len(prompts), inputs.input_ids.shape[1] + new), out.shape

    return once


if __name__ == "__main__":
    main()
