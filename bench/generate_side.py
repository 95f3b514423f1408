"""Generation by transformers, or by llama.cpp where --gguf names a file; prints a line of JSON. Every answer has exactly --new tokens.

    python bench/generate_side.py --work bench/work --batch 16 --new 64 [--bf16] [--gguf FILE]
"""
import argparse, json, time


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--work", required=True)
    p.add_argument("--batch", type=int, required=True)
    p.add_argument("--new", type=int, required=True)
    p.add_argument("--bf16", action="store_true")
    p.add_argument("--gguf")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--repeat", type=int, default=2)
    a = p.parse_args()
    prompts = [json.loads(line)["prompt"] for line in open(f"{a.work}/pairs.jsonl")][: a.batch]
    once = llama(a, prompts) if a.gguf else torch_model(a, prompts)
    once(4)
    seconds = []
    for _ in range(a.repeat):
        start = time.perf_counter()
        once(a.new)
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"work": "generate", "batch": a.batch, "new": a.new, "bf16": a.bf16, "gguf": bool(a.gguf), "seconds": [round(s, 3) for s in seconds],
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


def llama(a, prompts):
    from llama_cpp import Llama

    m = Llama(a.gguf, n_ctx=2048, n_threads=a.threads, n_threads_batch=a.threads, verbose=False)
    assert len(prompts) == 1
    ids = m.tokenize(prompts[0].encode(), add_bos=False)

    def once(new):
        m.reset()
        n = 0
        for _ in m.generate(ids, temp=0.7, top_k=0, top_p=1.0, min_p=0.0, repeat_penalty=1.0):
            n += 1
            if n == new:
                return

    return once


if __name__ == "__main__":
    main()
