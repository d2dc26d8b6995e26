import { readFile, rm } from 'node:fs/promises'
import { build } from 'esbuild'

/** The shipped form: one entry, one more for the threads that parse, and a chunk for each part that is loaded only where it is used (Cassandra driver, WebSocket proxy, commands). */
const out = process.argv[2] ?? new URL('../dist/', import.meta.url).pathname
await rm(out, { recursive: true, force: true })
const { metafile } = await build({
  entryPoints: {
    postern: new URL('./postern.mjs', import.meta.url).pathname,
    backend: new URL('../src/backend/index.ts', import.meta.url).pathname,
    'parse-thread': new URL('../src/parse-thread.ts', import.meta.url).pathname,
  },
  outdir: out,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  splitting: true,
  minify: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  // Some dependencies are CommonJS and ask for Node's own modules by `require`.
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  legalComments: 'none',
  metafile: true,
  logLevel: 'warning',
})
const bytes = Object.values(metafile.outputs).reduce((sum, output) => sum + output.bytes, 0)
const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'))
console.log(`postern ${version}: dist/postern.mjs and ${Object.keys(metafile.outputs).length - 1} chunks, ${Math.round(bytes / 1024)} KiB`)
