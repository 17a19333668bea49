// Holds the Pinecone stand-in to what Pinecone's own Node client expects. Not here: what only the HTTP interface shows.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [, , url, modules] = process.argv;
const { Pinecone } = createRequire(`${modules}/`)("@pinecone-database/pinecone");

const refused = async (call, ...words) => {
  await assert.rejects(call, (error) => {
    for (const word of words) {
      assert.ok(`${error.name} ${error.message}`.toLowerCase().includes(word.toLowerCase()), `${word} in ${error}`);
    }
    return true;
  });
};

const pc = new Pinecone({ apiKey: "stand-in", controllerHostUrl: url });
const serverless = { serverless: { cloud: "aws", region: "us-east-1" } };
const deployment = { deploymentType: "managed", cloud: "aws", region: "us-east-1" };
const newer = modules.includes("9.0.0");
// The two versions of the API make indexes of different shapes.
const plan = (name, more) =>
  newer
    ? { name, schema: { fields: { _values: { type: "dense_vector", dimension: 4, metric: "cosine" } } }, deployment, ...more }
    : { name, dimension: 4, metric: "cosine", spec: serverless, ...more };

await pc.createIndex({ ...plan("check", { deletionProtection: "enabled", tags: { purpose: "check" } }), waitUntilReady: true });
const described = await pc.describeIndex("check");
assert.equal(described.name, "check");
assert.equal(described.status.ready, true);
assert.deepEqual(described.tags, { purpose: "check" });
assert.deepEqual((await pc.listIndexes()).indexes.map((index) => index.name), ["check"]);
await refused(() => pc.describeIndex("absent"), "404");
await refused(() => pc.createIndex(plan("check", {})), "already exists");
await refused(() => pc.deleteIndex("check"), "deletion protection");

const index = pc.index({ host: described.host, namespace: "ns" });
const vectors = Array.from({ length: 20 }, (_, n) => ({
  id: `v${n}`,
  values: [1, n / 10, 0, 0],
  metadata: { n, tags: [n % 2 === 0 ? "even" : "odd"] },
}));
await index.upsert({ records: vectors });
const found = await index.query({ vector: [1, 0, 0, 0], topK: 3, includeMetadata: true });
assert.deepEqual(found.matches.map((match) => match.id), ["v0", "v1", "v2"]);
assert.ok(Math.abs(found.matches[0].score - 1) < 1e-6);
assert.deepEqual(found.matches[1].metadata, { n: 1, tags: ["odd"] });
const filtered = await index.query({ vector: [1, 0, 0, 0], topK: 20, filter: { n: { $gte: 18 } } });
assert.deepEqual(filtered.matches.map((match) => match.id).sort(), ["v18", "v19"]);

const fetched = await index.fetch({ ids: ["v1", "absent"] });
assert.deepEqual(Object.keys(fetched.records), ["v1"]);
await index.update({ id: "v1", metadata: { n: 100 } });
assert.deepEqual((await index.fetch({ ids: ["v1"] })).records.v1.metadata, { n: 100, tags: ["odd"] });
const listed = [];
let paginationToken;
do {
  const page = await index.listPaginated({ prefix: "v1", limit: 4, paginationToken });
  listed.push(...page.vectors.map((vector) => vector.id));
  paginationToken = page.pagination?.next;
} while (paginationToken);
assert.deepEqual(listed, ["v1", ...Array.from({ length: 10 }, (_, n) => `v${n + 10}`)]);
const stats = await index.describeIndexStats();
assert.equal(stats.totalRecordCount, 20);
assert.equal(stats.namespaces.ns.recordCount, 20);
const spaces = await index.listNamespaces();
assert.deepEqual(spaces.namespaces.map((space) => [space.name, Number(space.recordCount)]), [["ns", 20]]);

await index.deleteMany({ ids: ["v1", "absent"] });
await index.deleteMany({ filter: { n: { $gte: 15 } } });
assert.equal((await index.describeIndexStats()).namespaces.ns.recordCount, 14);
await index.deleteAll();
assert.deepEqual((await index.query({ vector: [1, 0, 0, 0], topK: 3 })).matches, []);
await refused(() => pc.index({ host: described.host, namespace: "absent" }).deleteAll(), "404");
await refused(() => index.upsert({ records: [{ id: "x", values: [1, 2] }] }), "dimension 2");
await refused(() => index.upsert({ records: [{ id: "x", values: [0, 0, 0, 0] }] }), "at least one non-zero");

await pc.configureIndex(newer ? { name: "check", deletionProtection: "disabled" } : { name: "check", deletionProtection: "disabled" });
await pc.deleteIndex("check");
assert.deepEqual((await pc.listIndexes()).indexes ?? [], []);
console.log("every check holds");
