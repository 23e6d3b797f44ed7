const request = require("http").get("http://localhost:3000/health", (response) => process.exit(response.statusCode === 200 ? 0 : 1));
request.on("error", () => process.exit(1));
