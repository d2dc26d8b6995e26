import { requireRuntime } from './runtime.mjs'

requireRuntime()
const { demo } = await import('../deploy/demo/main.ts')
process.exitCode = await demo(process.argv.slice(2))
