// Makes a component of a JavaScript module: node build.mjs SOURCE OUT
import { componentize } from '@bytecodealliance/componentize-js';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';

const [source, out] = process.argv.slice(2);
// componentize-js takes this patch version of WASI only. jco has the text of a later one, which differs in nothing else.
const version = '0.2.10';
const builtin = 'node_modules/@bytecodealliance/jco/lib/wit/builtin/0.2.12';
const wit = mkdtempSync('node_modules/.wit-');
try {
  cpSync('wit', wit, { recursive: true });
  for (const name of readdirSync(builtin)) {
    mkdirSync(`${wit}/deps/${name}`, { recursive: true });
    writeFileSync(`${wit}/deps/${name}/package.wit`, readFileSync(`${builtin}/${name}/package.wit`, 'utf8').replaceAll('@0.2.12', `@${version}`));
  }
  const { component } = await componentize({ sourcePath: source, witPath: wit, worldName: 'tenant', enableFeatures: ['http', 'fetch-event'] });
  writeFileSync(out, component);
} finally {
  rmSync(wit, { recursive: true });
}
