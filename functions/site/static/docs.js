// Swagger UI over the service's own description. It asks no validator, and talks to no host but this one.

const dark = matchMedia('(prefers-color-scheme: dark)');
const shade = () => document.documentElement.classList.toggle('dark-mode', dark.matches);
dark.addEventListener('change', shade);
shade();

fetch('/openapi.json').then((answer) => answer.json()).then((spec) => {
  // A key that is filled in would be everybody's: the second to try it out would be refused.
  for (const parameter of spec.paths['/users'].post.parameters) delete parameter.example;
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
