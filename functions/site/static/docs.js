// Swagger UI over the service's own description. It asks no validator, and talks to no host but this one.

const dark = matchMedia('(prefers-color-scheme: dark)');
const shade = () => document.documentElement.classList.toggle('dark-mode', dark.matches);
dark.addEventListener('change', shade);
shade();

fetch('/openapi.json').then((answer) => answer.json()).then((spec) => {
  // A key that is filled in would be that of every request: the second would be refused, or get the first one's response.
  for (const { post } of Object.values(spec.paths)) {
    for (const parameter of post?.parameters ?? []) if (parameter.name === 'Idempotency-Key') delete parameter.example;
  }
  SwaggerUIBundle({
    spec,
    dom_id: '#docs',
    deepLinking: true,
    defaultModelsExpandDepth: -1, // each operation shows its own
    tryItOutEnabled: true,
    persistAuthorization: true,
    validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis],
    layout: 'BaseLayout',
  });
});
