/* The API reference, made of the OpenAPI document that this daemon serves. Everything is put in as text,
 * nothing as markup. */
"use strict";

(function () {
  const DEPTH_MAX = 4;
  const docs = document.querySelector("[data-source]");
  const found = docs.querySelector("[data-found]");
  let source = {};

  /* An element with attributes and children, which are elements or texts. */
  function make(name, attributes, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
    element.append(...children.filter((child) => child));
    return element;
  }

  function resolve(node) {
    let steps = 0;
    while (node && node.$ref && steps++ < 10) {
      node = node.$ref.slice(2).split("/").reduce((at, part) => at && at[part], source);
    }
    return node || {};
  }

  /* Paragraphs and `code`, which is all that the document's texts use. */
  function prose(text) {
    return (text || "").trim().split(/\n\s*\n/).filter(Boolean).map((paragraph) => make("p", null,
      ...paragraph.replace(/\s*\n\s*/g, " ").split("`").map((part, at) => at % 2 ? make("code", null, part) : part)));
  }

  /* Not said in words where a table says it. */
  function typeOf(schema) {
    if (schema.const !== undefined) return JSON.stringify(schema.const);
    if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
    const any = schema.oneOf || schema.anyOf;
    if (any) return [...new Set(any.map((one) => typeOf(resolve(one))))].join(" or ");
    const type = [].concat(schema.type || "any").join(" or ");
    const items = schema.items ? typeOf(resolve(schema.items)) : "";
    const bounds = [["minimum", "≥ "], ["maximum", "≤ "], ["minLength", "at least "], ["maxLength", "at most "]]
      .filter(([name]) => schema[name] !== undefined)
      .map(([name, text]) => text + schema[name] + (name.endsWith("Length") ? " characters" : ""));
    const initial = schema.default !== undefined ? ["default " + JSON.stringify(schema.default)] : [];
    return [items ? type + " of " + items : type, schema.format, ...bounds, ...initial].filter(Boolean).join(", ");
  }

  /* The members of what it is, of what it may be, and of what it is a list of. */
  function membersOf(schema) {
    const all = {properties: {}, required: new Set()};
    const parts = [schema, ...(schema.allOf || []), ...(schema.oneOf || []), ...(schema.anyOf || [])].map(resolve);
    for (const part of parts) {
      Object.assign(all.properties, part.properties);
      for (const name of part.required || []) all.required.add(name);
    }
    if (!Object.keys(all.properties).length && schema.items) return membersOf(resolve(schema.items));
    return all;
  }

  function row(name, note, schema, description, depth) {
    const cell = make("td", null, make("code", null, name), make("span", {class: "type"}, note));
    const text = make("td", null, ...prose(description), make("span", {class: "type"}, typeOf(schema)));
    const inner = depth < DEPTH_MAX ? table(schema, depth + 1) : null;
    if (inner) text.append(make("details", null, make("summary", null, "Members of " + name), inner));
    return make("tr", null, cell, text);
  }

  function table(schema, depth) {
    const members = membersOf(schema);
    const rows = Object.entries(members.properties).map(([name, node]) => {
      const property = resolve(node);
      return row(name, members.required.has(name) ? "required" : "", property, node.description || property.description, depth);
    });
    return rows.length ? make("table", null, make("tbody", null, ...rows)) : null;
  }

  function parameters(list) {
    const rows = list.map(resolve).map((parameter) =>
      row(parameter.name, parameter.in + (parameter.required ? ", required" : ""), resolve(parameter.schema), parameter.description, DEPTH_MAX));
    return rows.length ? [make("h4", null, "Parameters"), make("table", null, make("tbody", null, ...rows))] : [];
  }

  function isOpen(operation) {
    return operation.security && operation.security.length === 0;
  }

  function example(method, path, operation) {
    const body = Object.values(resolve(operation.requestBody).content || {})[0];
    const lines = ["curl -X " + method.toUpperCase() + " " + location.origin + path];
    if (!isOpen(operation)) lines.push('-H "Authorization: Bearer $TOKEN"');
    if (body) lines.push("-H 'Content-Type: application/json'");
    if (body && body.example) lines.push("-d '" + JSON.stringify(body.example, null, 2).replaceAll("'", "'\\''") + "'");
    return [make("h4", null, "Example"),
            make("pre", {tabindex: "0", "aria-label": "Example of the call"}, make("code", null, lines.join(" \\\n  ")))];
  }

  function requestBody(operation) {
    const content = Object.values(resolve(operation.requestBody).content || {})[0];
    const inner = content && table(resolve(content.schema), 0);
    return inner ? [make("h4", null, "Body"), inner] : [];
  }

  function responses(operation) {
    const rows = Object.entries(operation.responses).map(([status, node]) => {
      const response = resolve(node);
      const content = Object.values(response.content || {})[0];
      const inner = content && status < 300 ? table(resolve(content.schema), 1) : null;
      const text = make("td", null, ...prose(response.description));
      if (inner) text.append(make("details", null, make("summary", null, "Members of the answer"), inner));
      return make("tr", null, make("td", null, make("code", null, status)), text);
    });
    return [make("h4", null, "Answers"), make("table", null, make("tbody", null, ...rows))];
  }

  function call(one) {
    const title = make("h3", null, make("span", {class: "method " + one.method}, one.method.toUpperCase()),
                       make("a", {href: "#" + one.id}, one.path));
    return make("section", {class: "call", id: one.id, "aria-label": one.method.toUpperCase() + " " + one.path}, title,
                make("p", null, make("strong", null, one.operation.summary)), ...prose(one.operation.description),
                isOpen(one.operation) ? make("p", {class: "small"}, "Needs no token.") : null,
                ...parameters(one.parameters), ...requestBody(one.operation),
                ...example(one.method, one.path, one.operation), ...responses(one.operation));
  }

  function all() {
    const methods = ["get", "post", "put", "patch", "delete"];
    return Object.entries(source.paths).flatMap(([path, item]) => methods.filter((method) => item[method]).map((method) => ({
      path: path, method: method, operation: item[method], id: item[method].operationId, tag: (item[method].tags || ["other"])[0],
      parameters: [...(item.parameters || []), ...(item[method].parameters || [])],
    })));
  }

  function find(entries, text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const entry of entries) {
      entry.line.hidden = !words.every((word) => entry.words.includes(word));
      count += !entry.line.hidden;
    }
    for (const group of docs.querySelectorAll("[data-list] section")) {
      group.hidden = !group.querySelector("li:not([hidden])");
    }
    found.textContent = words.length ? count + (count === 1 ? " call" : " calls") : "";
  }

  function build() {
    const list = docs.querySelector("[data-list]"), main = docs.querySelector("[data-calls]");
    const calls = all(), entries = [];
    docs.querySelector("[data-intro]").append(...prose(source.info.description));
    for (const tag of source.tags) {
      const own = calls.filter((one) => one.tag === tag.name), lines = make("ul");
      for (const one of own) {
        const line = make("li", null, make("a", {href: "#" + one.id, title: one.operation.summary},
          make("span", {class: "method " + one.method}, one.method.toUpperCase()), one.path));
        entries.push({line: line, words: [one.method, one.path, one.operation.summary, one.id].join(" ").toLowerCase()});
        lines.append(line);
      }
      list.append(make("section", {"aria-label": tag.name}, make("h2", null, tag.name), lines));
      main.append(make("h2", null, tag.name), ...(tag.description ? prose(tag.description) : []), ...own.map(call));
    }
    document.getElementById("find").addEventListener("input", (event) => find(entries, event.target.value));
    docs.hidden = false;
    const wanted = location.hash && document.getElementById(location.hash.slice(1));
    if (wanted) wanted.scrollIntoView();
  }

  fetch(docs.dataset.source).then((answer) => answer.json()).then((document) => {
    source = document;
    build();
  }).catch(() => {
    document.querySelector("[data-failed]").hidden = false;
  });
})();
