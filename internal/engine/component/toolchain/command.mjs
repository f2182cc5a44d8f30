// Makes a component of a core module that is a command of WASI preview 1: node build.mjs SOURCE OUT
import { componentNew } from '@bytecodealliance/jco';
import { readFileSync, writeFileSync } from 'node:fs';

const [source, out] = process.argv.slice(2);
const adapter = readFileSync('node_modules/@bytecodealliance/jco/lib/wasi_snapshot_preview1.command.wasm');
writeFileSync(out, await componentNew(readFileSync(source), [['wasi_snapshot_preview1', adapter]]));
