// Generation by llama.cpp, through node-llama-cpp 3.22.1, whose prebuilt library has a build for each instruction set and takes the
// best that the processor has; prints a line of JSON. Every answer has exactly the wanted number of tokens, the prompt's pass included.
//
//     node bench/llama_side.mjs FOLDER_OF_NODE_MODULES MODEL.gguf PAIRS.jsonl NEW REPEAT THREADS
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { pathToFileURL } from "node:url"

const [modules, gguf, pairs, wanted, repeat, threads] = process.argv.slice(2)
const require = createRequire(modules + "/package.json")
const { getLlama } = await import(pathToFileURL(require.resolve("node-llama-cpp")))
const llama = await getLlama({ gpu: false, build: "never", maxThreads: Number(threads), logLevel: "error" })
const model = await llama.loadModel({ modelPath: gguf })
const context = await model.createContext({ contextSize: 2048, threads: { ideal: Number(threads), min: Number(threads) } })
const prompt = model.tokenize(JSON.parse(readFileSync(pairs, "utf8").split("\n")[0]).prompt, false)
const sequence = context.getSequence()

async function once(n) {
    await sequence.clearHistory()
    let made = 0
    for await (const _ of sequence.evaluate(prompt, { temperature: 0.7, topK: 0, topP: 1, minP: 0, seed: 1, yieldEogToken: true })) {
        if (++made === n) return
    }
    throw new Error(`ended after ${made} of ${n} tokens`)
}

await once(4)
const seconds = []
for (let i = 0; i < Number(repeat); i++) {
    const start = performance.now()
    await once(Number(wanted))
    seconds.push((performance.now() - start) / 1000)
}
console.log(JSON.stringify({ work: "generate", batch: 1, new: Number(wanted), prompt: prompt.length, system: llama.systemInfo, threads: context.currentThreads, seconds, rate: wanted / Math.min(...seconds) }))
process.exit(0)
