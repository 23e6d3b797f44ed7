import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executors;

/** Prices: computed, noted in a file for each item, and read back. */
public class Api {
    static final Path HISTORY = Path.of("/srv/api/history");

    interface Answer {
        String of(HttpExchange exchange) throws IOException;
    }

    public static void main(String[] arguments) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(8080), 64);
        on(server, "/health", exchange -> "ok " + System.getProperty("version"));
        on(server, "/price", Api::price);
        on(server, "/history", exchange -> Files.exists(file(exchange)) ? Files.readString(file(exchange)) : "none");
        on(server, "/heap", exchange -> fill());
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.start();
    }

    static void on(HttpServer server, String path, Answer answer) {
        server.createContext(path, exchange -> {
            exchange.getRequestBody().readAllBytes();
            byte[] body = answer.of(exchange).getBytes(StandardCharsets.UTF_8);
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
    }

    static Path file(HttpExchange exchange) {
        return HISTORY.resolve(exchange.getRequestURI().getQuery().replaceAll("[^0-9]", "") + ".txt");
    }

    static String price(HttpExchange exchange) throws IOException {
        double sum = 0;
        for (int i = 1; i < 20_000; i++) {
            sum += Math.sqrt(i) / i;
        }
        String line = String.format("%.3f%n", sum);
        Files.writeString(file(exchange), line, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        return line;
    }

    /** Work for the collector. */
    static String fill() {
        List<byte[]> parts = new ArrayList<>();
        for (int i = 0; i < 200; i++) {
            parts.add(new byte[64 * 1024]);
        }
        return parts.size() + " parts";
    }
}
